"""The tiers of the unit tests: which of them may start the programs of the lab."""

import pytest

from tests.support import lab_programs

lab_programs.install_guard()


def pytest_itemcollected(item: pytest.Item) -> None:
    lab_programs.mark(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    lab_programs.watch(item)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    lab_programs.watch(None)
