"""The lab's waiting, without its programs."""

from pathlib import Path

import pytest

from examples.lab import control_plane, processes
from examples.lab.progress import LabError


def test_the_wait_for_the_api_server_ends_with_its_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "RECORDS", tmp_path)
    monkeypatch.setattr(processes, "LOGS", tmp_path)
    monkeypatch.setattr(control_plane.api, "ready", lambda: pytest.fail("the processes are looked at first"))
    (tmp_path / "etcd.log").write_text("cannot bind\n")
    with pytest.raises(LabError, match="etcd ended"):
        control_plane.wait_for_api()
