"""The tiers of the unit tests: which of them may start the programs of the lab."""

import gc
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lab_programs, tiers

SLOW_FILE = "\npytestmark = pytest.mark.slow\n"
"""The line that makes every test of a file slow."""

lab_programs.install_guard()

# Few tests make garbage that only the collector finds; at its own thresholds it took a fifth of the time of a run.
gc.set_threshold(50_000, 10, 10)


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


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out a file of slow tests alone where only quick ones run, before it is imported with all that it needs."""
    if tiers.is_quick() and collection_path.suffix == ".py":
        return SLOW_FILE in collection_path.read_text() or None
    return None


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


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Gives the log back as it was: a program's own handler would write to a captured stream that is closed by the
    next test."""
    root, named = logging.getLogger(), [logging.getLogger(name) for name in ("kopf", "aiohttp.access")]
    before, level, levels = list(root.handlers), root.level, [one.level for one in named]
    yield
    ours = [one for one in root.handlers if one not in before and type(one) is logging.StreamHandler]
    root.handlers[:] = [one for one in root.handlers if one not in ours]
    if ours:
        root.setLevel(level)
        for one, was in zip(named, levels, strict=True):
            one.setLevel(was)
