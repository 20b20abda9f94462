"""One registry per test process; every test uses repositories of its own name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_oci.client import Registries, Repository
from edge_oci.credentials import Credentials
from edge_oci.references import Reference
from edge_oci.transport import Patience
from tests.unit.edge_oci import distribution, faulty
from tests.unit.edge_oci.faulty import FaultyProxy


@dataclass
class Pauses:
    """A replacement of the clock, which records how long the client would have slept."""

    seconds: list[float] = field(default_factory=list)

    def patience(self) -> Patience:
        return Patience(sleep=self.seconds.append)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yields the host:port of a registry that is open to all."""
    with distribution.running(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def proxy(registry: str) -> Iterator[FaultyProxy]:
    with faulty.faulty(registry) as running:
        yield running


Open = Callable[..., Repository]


@pytest.fixture
def repository(pauses: Pauses, request: pytest.FixtureRequest) -> Open:
    """Returns ``repository(host, name="own", credentials=None)``, without TLS and without sleeping."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")

    def make(host: str, name: str = "own", credentials: Credentials | None = None) -> Repository:
        registries = Registries(credentials=credentials, plain_http_hosts=[host], patience=pauses.patience())
        return registries.repository(Reference(host, name if "/" in name else f"{test}/{name}"))

    return make


@pytest.fixture
def megabyte(tmp_path: Path) -> Path:
    """Writes a file of a million bytes that do not repeat."""
    path = tmp_path / "megabyte"
    path.write_bytes(b"".join(number.to_bytes(4, "big") for number in range(250_000)))
    return path
