"""The crash, repair and end of the lab. They affect every user of it: run them alone, `-m lab_lifecycle`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from examples.lab import cgroups, cluster, network, processes
from examples.lab.layout import CGROUP, KUBECONFIG, STATE
from examples.lab.waiting import wait_for

pytestmark = pytest.mark.lab_lifecycle


def test_up_builds_a_new_lab_after_a_daemon_crashed() -> None:
    apiserver = processes.pid_of("apiserver")
    assert apiserver is not None
    os.kill(apiserver, signal.SIGKILL)
    wait_for("the API server to end", lambda: processes.pid_of("apiserver") is None)
    cluster.up()
    assert cluster.status().healthy


def test_down_leaves_nothing() -> None:
    cluster.down()
    try:
        assert not network.present()
        assert not cgroups.members()
        assert not list(Path("/sys/fs/cgroup").glob(f"*/{CGROUP}"))
        assert not processes.recorded()
        assert not KUBECONFIG.exists()
        assert str(STATE) not in Path("/proc/mounts").read_text()
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert str(STATE) not in running
    finally:
        cluster.up()  # for whoever uses it next
