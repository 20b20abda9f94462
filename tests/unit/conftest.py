"""The tiers of the unit tests: which of them may start the programs of the lab."""

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lab_programs

lab_programs.install_guard()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Keeps the garbage collector from looking again and again through the imported modules and the collected tests,
    which stay until the end: that took a quarter of the time of collection, and a pause in many a test after it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_itemcollected(item: pytest.Item) -> None:
    lab_programs.mark(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    lab_programs.watch(item)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    lab_programs.watch(None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the modules with slow tests to the front, so that no worker is left with a long test when the others have
    ended."""
    slow = {item.nodeid.partition("::")[0] for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in slow)


@pytest.fixture(autouse=True)
def _same_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts back the folder for temporary files, which a compression Job moves to the disk that it may fill."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns an empty folder for the data of a registry."""
    made = tmp_path / "data"
    made.mkdir()
    return made
