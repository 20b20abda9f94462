"""The leader election: a Lease, taken before the first pass and renewed while the process lives."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from edge_operator.cluster.client import ApiError, Cluster, Object

NAME = "edgemodel-operator"
DURATION = timedelta(seconds=15)
RENEW = timedelta(seconds=5)

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another process leads, so this one must end."""


class Leadership:
    """The claim of this process to the Lease NAME in the operator's namespace."""

    def __init__(
        self, cluster: Cluster, namespace: str, identity: str, api_is_back: Callable[[], None] = lambda: None
    ) -> None:
        """Calls ``api_is_back`` when a lease that had expired is renewed: until then the API server did not answer."""
        self._cluster, self._namespace, self._identity = cluster, namespace, identity
        self._api_is_back = api_is_back
        self._renewed = -math.inf
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0

    def leads(self) -> bool:
        """True if the lease was renewed within its duration."""
        return time.monotonic() - self._renewed < DURATION.total_seconds()

    async def acquire(self) -> None:
        """Waits until this process leads."""
        while not await self._try():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(2)
        log.info("leading as %s", self._identity)

    async def keep(self) -> None:
        """Renews the lease for ever. Raises LeaseLost when another process holds it.

        While the API server does not answer, nobody can take the lease; ``leads`` is False then, until it is renewed.
        """
        while True:
            await asyncio.sleep(RENEW.total_seconds())
            had_run_out = not self.leads()
            try:
                if not await self._try():
                    raise LeaseLost("another operator took the lease")
                if had_run_out:
                    self._api_is_back()
            except ApiError as error:
                log.warning("the lease is not renewed: %s", error)

    async def release(self) -> None:
        """Releases the lease, so that a successor can start at once."""
        lease = await self._cluster.get("coordination.k8s.io/v1", "Lease", NAME, self._namespace)
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"]["holderIdentity"] = ""
            await self._cluster.replace(lease)

    async def _try(self) -> bool:
        now, began = datetime.now(UTC), time.monotonic()
        lease = await self._cluster.get("coordination.k8s.io/v1", "Lease", NAME, self._namespace)
        try:
            if lease is None:
                await self._cluster.create(self._fill({"metadata": {"name": NAME, "namespace": self._namespace}}, now))
            else:
                if not self._may_take(lease):
                    return False
                await self._cluster.replace(self._fill(lease, now))
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        self._renewed = began
        return True

    def _may_take(self, lease: Object) -> bool:
        """Returns whether the lease is free or ours, or has not been renewed for its duration by our own clock: clocks
        differ."""
        spec = lease["spec"]
        if spec.get("holderIdentity") in ("", None, self._identity):
            return True
        found = (str(spec["holderIdentity"]), str(spec.get("renewTime")))
        if found != self._seen:
            self._seen, self._seen_at = found, time.monotonic()
        return time.monotonic() - self._seen_at > float(spec.get("leaseDurationSeconds", DURATION.total_seconds()))

    def _fill(self, lease: Object, now: datetime) -> Object:
        spec = {
            **lease.get("spec", {}),
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION.total_seconds()),
            "renewTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease, "spec": spec}
