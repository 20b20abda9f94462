"""The requests that are retried, how often and after which pause; and those that are not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from edge_oci import manifests
from edge_oci.client import Registries, Repository
from edge_oci.errors import InvalidCredentials, NoSuchHost, RegistryError, Unreachable, UntrustedCertificate
from edge_oci.references import Reference
from tests.unit.edge_oci.conftest import Pauses
from tests.unit.edge_oci.faulty import Answer, FaultyProxy

Open = Callable[..., Repository]


def test_a_registry_that_asks_for_a_pause_gets_it(proxy: FaultyProxy, repository: Open, pauses: Pauses) -> None:
    proxy.will("GET", "/tags/", Answer(429, {"Retry-After": "7"}), Answer(503, {"Retry-After": "3"}))
    assert manifests.list_tags(repository(proxy.host)) == []
    assert pauses.seconds == [7, 3]


def test_the_pause_may_be_given_as_a_date(proxy: FaultyProxy, repository: Open, pauses: Pauses) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    proxy.will("GET", "/tags/", Answer(503, {"Retry-After": soon}))
    manifests.list_tags(repository(proxy.host))
    assert pauses.seconds == [pytest.approx(29, abs=2)]


def test_a_pause_beyond_patience_is_reported_at_once(proxy: FaultyProxy, repository: Open, pauses: Pauses) -> None:
    proxy.will("GET", "/tags/", Answer(429, {"Retry-After": "3600"}, b"slow down"))
    with pytest.raises(RegistryError, match="429: slow down") as raised:
        manifests.list_tags(repository(proxy.host))
    assert raised.value.transient
    assert not pauses.seconds


@pytest.mark.parametrize("header", [{}, {"Retry-After": "soon"}], ids=["without", "unreadable"])
def test_without_retry_after_the_pauses_grow(
    proxy: FaultyProxy, repository: Open, pauses: Pauses, header: dict[str, str]
) -> None:
    proxy.will("GET", "/tags/", *[Answer(500, header)] * 9)
    with pytest.raises(RegistryError) as raised:
        manifests.list_tags(repository(proxy.host))
    assert raised.value.status == 500
    assert len(proxy.seen("GET", "/tags/")) == 5
    assert [round(pause / 0.5 / 2**failure, 1) for failure, pause in enumerate(pauses.seconds)] == [
        pytest.approx(1, abs=0.51)
    ] * 4


def test_a_registry_that_is_down_is_tried_a_few_times(repository: Open, pauses: Pauses) -> None:
    with socket.socket() as closed:  # bound, never listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(Unreachable, match=host) as raised:
            manifests.list_tags(repository(host))
    assert raised.value.transient
    assert len(pauses.seconds) == 4


@pytest.mark.parametrize(("errno", "transient"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_a_name_without_an_address_fails_at_once(
    repository: Open, pauses: Pauses, monkeypatch: pytest.MonkeyPatch, errno: int, transient: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(errno, "no")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(NoSuchHost, match=r"no address for registry\.invalid") as raised:
        manifests.list_tags(repository("registry.invalid"))
    assert raised.value.transient is transient
    assert not pauses.seconds


def test_plain_http_is_spoken_only_to_hosts_that_are_named(registry: str, pauses: Pauses) -> None:
    registries = Registries(patience=pauses.patience(), plain_http_hosts=["other.example:5000"])
    with pytest.raises(UntrustedCertificate, match="if the registry speaks plain HTTP, name the host") as raised:
        manifests.list_tags(registries.repository(Reference(registry, "any")))
    assert not raised.value.transient
    assert not pauses.seconds


def test_an_invalid_file_of_authorities_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(InvalidCredentials, match=f"{name}: not a file of PEM certificates"):
            Registries(ca_file=tmp_path / name)
