"""The lab's waiting and building, without its programs."""

import re
import sys
from pathlib import Path

import pytest

from examples.lab import build, control_plane, processes
from examples.lab.layout import HERE
from examples.lab.progress import LabError, run_long
from tests.support.coredns import corefile_plugins


def test_the_wait_for_the_api_server_ends_with_its_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "RECORDS", tmp_path)
    monkeypatch.setattr(processes, "LOGS", tmp_path)
    monkeypatch.setattr(control_plane.api, "ready", lambda: pytest.fail("the processes are looked at first"))
    (tmp_path / "etcd.log").write_text("cannot bind\n")
    with pytest.raises(LabError, match="etcd ended"):
        control_plane.wait_for_api()


def test_coredns_is_compiled_with_the_plugins_of_its_corefile_and_no_other() -> None:
    folders = re.findall(r'"github.com/coredns/coredns/plugin/(\w+)"', (HERE / "programs/coredns/main.go").read_text())
    # One plugin is called otherwise than its folder.
    assert {"prometheus" if folder == "metrics" else folder for folder in folders} == corefile_plugins()


def test_kubernetes_and_what_it_is_compiled_from_are_of_one_version() -> None:
    module = (build.MODULE / "go.mod").read_text()
    assert f"\tk8s.io/kubernetes {build.KUBERNETES}\n" in module
    staging = set(re.findall(r"^\t(k8s.io/\S+) => \1 (\S+)$", module, re.MULTILINE))
    assert {version for _, version in staging} == {"v0." + build.KUBERNETES.split(".", 1)[1]}


def test_compilers_do_without_garbage_collection_only_where_memory_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.os, "cpu_count", lambda: 2)
    for free_kib, variables in ((6 << 20, {"GOGC": "off", "GOMEMLIMIT": str(2 << 30)}), (2 << 20, {})):
        text = f"MemTotal: 9 kB\nMemAvailable:   {free_kib} kB\n"
        monkeypatch.setattr(Path, "read_text", lambda _, text=text: text)
        assert build._without_garbage_collection() == variables


def test_long_work_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("examples.lab.progress.HEARTBEAT_S", 0.05)
    log = tmp_path / "log"
    program = "import sys; print('go: downloading b', 'a', 'b', sep='\\n', flush=True); sys.stdin.read()"
    waits = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {program!r}]); time.sleep(0.5)"
    run_long("work", [sys.executable, "-c", waits], log=log, note=lambda path: f", {build._compiled(path)} packages")
    assert ", 2 packages\n" in capsys.readouterr().err
