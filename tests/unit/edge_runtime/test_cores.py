"""The cores that a process may use."""

import os
from pathlib import Path

import pytest

from edge_runtime.cores import usable_cores


@pytest.mark.parametrize(
    ("quota", "threads"), [("max 100000", None), ("50000 100000", 1), ("150000 100000", 2), ("90000000 100000", None)]
)
def test_there_are_no_more_threads_than_the_pod_may_have_cores(tmp_path: Path, quota: str, threads: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    allowed = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path / "cpu.max") == min(threads or allowed, allowed)
    assert usable_cores(tmp_path / "missing") == allowed
