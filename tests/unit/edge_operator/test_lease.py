"""One operator at a time, whatever the clocks of its boards say."""

from typing import Any, cast

import pytest

from edge_operator.cluster import ApiError, Cluster, lease
from edge_operator.cluster.lease import Leadership, LeaseLost


class ApiServer:
    """An API server with one Lease."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None

    async def get(self, *_: str) -> dict[str, Any] | None:
        return self.lease

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.lease = body
        return body

    async def replace(self, body: dict[str, Any]) -> dict[str, Any]:
        self.lease = body
        return body


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the monotonic seconds, which a test moves."""
    now = [1000.0]
    monkeypatch.setattr(lease.time, "monotonic", lambda: now[0])
    return now


def leadership(server: ApiServer, name: str) -> Leadership:
    return Leadership(cast(Cluster, server), "edgemodel-system", name)


async def test_a_live_lease_is_not_taken_from_a_holder_whose_clock_is_slow(clock: list[float]) -> None:
    server = ApiServer()
    await leadership(server, "first")._try()
    assert server.lease is not None
    server.lease["spec"]["renewTime"] = "1970-01-01T00:00:00.000000Z"
    second = leadership(server, "second")
    assert not await second._try()
    clock[0] += 10
    server.lease["spec"]["renewTime"] = "1970-01-01T00:00:10.000000Z"
    assert not await second._try()
    clock[0] += 10
    assert not await second._try()
    clock[0] += 6
    assert await second._try()


async def test_an_operator_that_loses_the_lease_ends(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    server = ApiServer()
    first = leadership(server, "first")
    await first.acquire()
    assert first.leads()
    assert server.lease is not None
    server.lease["spec"] |= {"holderIdentity": "second", "renewTime": "2026-01-01T00:00:00.000000Z"}
    monkeypatch.setattr(lease, "RENEW", lease.timedelta(0))
    with pytest.raises(LeaseLost):
        await first.keep()


async def test_the_return_of_the_api_server_after_the_leases_duration_is_reported(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, told = ApiServer(), []
    first = Leadership(cast(Cluster, server), "edgemodel-system", "first", lambda: told.append(clock[0]))
    await first.acquire()
    answers = iter([200, 0, 0, 0, 200, 200, 409])

    async def replace(body: dict[str, Any]) -> dict[str, Any]:
        """Replaces the Lease, which takes five seconds."""
        clock[0] += 5
        if (status := next(answers)) != 200:
            raise ApiError(status, "no")
        return body

    monkeypatch.setattr(server, "replace", replace)
    monkeypatch.setattr(lease, "RENEW", lease.timedelta(0))
    with pytest.raises(LeaseLost):
        await first.keep()
    assert told == [1025.0]


async def test_a_lease_that_was_not_renewed_does_not_lead(clock: list[float]) -> None:
    first = leadership(ApiServer(), "first")
    assert not first.leads()
    await first.acquire()
    clock[0] += 16
    assert not first.leads()


async def test_a_released_lease_is_taken_at_once(clock: list[float]) -> None:
    server = ApiServer()
    first = leadership(server, "first")
    await first.acquire()
    await first.release()
    assert await leadership(server, "second")._try()
