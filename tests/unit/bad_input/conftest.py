"""The models of the compressor's tests, and the table of tried inputs."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.bad_input_runs import TRIED, table
from tests.unit.edge_compressor.conftest import perceptron

__all__ = ["perceptron"]

TABLES: Final = Path(__file__).resolve().parents[3] / "build" / "bad-input"


@pytest.fixture(autouse=True)
def _no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the reading of the system's certificates, which takes longer than an input: no server has one."""
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _table() -> Iterator[None]:
    """Writes the numbers of inputs of each entry point to ``build/bad-input``, one file per worker of the run."""
    yield
    if TRIED:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "all")
        TABLES.mkdir(parents=True, exist_ok=True)
        (TABLES / f"{worker}.txt").write_text(table() + "\n")
        print(f"\nbad inputs tried, by entry point\n{table()}")
