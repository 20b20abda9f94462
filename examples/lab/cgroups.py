"""The lab's cgroups, on hosts with version 1 (a folder in every controller) and version 2 (one folder).

    edgemodel-lab/control-plane      etcd, API server, …
    edgemodel-lab/<node>/system      the node's containerd, shims, kubelet, kube-proxy
    edgemodel-lab/<node>/kubepods    made by the kubelet: the pods

Everything that the lab starts is born in one of these, so that membership alone tells what must end.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .layout import CGROUP, STATE
from .waiting import wait_for

_ROOT = Path("/sys/fs/cgroup")
_QUOTA = "cpu.cfs_quota_us"
_CONTROLLERS_V2 = ("cpu", "cpuset", "io", "memory", "pids")


def is_v2() -> bool:
    """Returns whether this host has cgroups of version 2."""
    return (_ROOT / "cgroup.controllers").exists()


def make(path: str) -> None:
    """Makes a cgroup; ``path`` is relative to the lab's. Every level gets its controllers or its processors."""
    for hierarchy in _hierarchies():
        directory = hierarchy
        for level in (CGROUP, *path.split("/")):
            if is_v2():
                _delegate(directory)
            directory = directory / level
            directory.mkdir(exist_ok=True)
            if hierarchy.name == "cpuset" and not is_v2():
                for file in ("cpuset.cpus", "cpuset.mems"):  # a new one is empty, and an empty one admits no process
                    (directory / file).write_text((directory.parent / file).read_text())


def limit_cpu(path: str, share: float | None) -> None:
    """Limits everything in ``path`` and below together to ``share`` of one processor; None removes the limit."""
    # Microseconds, the quota at least 1000; a short period makes a limited pod slow rather than stuttering.
    period = 20_000 if share is None else max(20_000, int(1000 / share))
    quota = -1 if share is None else max(int(share * period), 1000)
    if is_v2():
        (_ROOT / CGROUP / path / "cpu.max").write_text(f"{'max' if share is None else quota} {period}")
        return
    directory = next(hierarchy for hierarchy in _hierarchies() if "cpu" in hierarchy.name.split(",")) / CGROUP / path
    kept = STATE / f"cpu-quotas-{path.replace('/', '-')}.json"
    if share is not None and not kept.exists():
        kept.write_text(json.dumps(_take_quotas_away(directory)))
    (directory / "cpu.cfs_period_us").write_text(str(period))
    (directory / _QUOTA).write_text(str(quota))
    if share is None and kept.exists():
        _give_quotas_back(json.loads(kept.read_text()))
        kept.unlink()


def _take_quotas_away(directory: Path) -> dict[str, int]:
    """Returns the quotas below ``directory``, by file, and removes them: version 1 admits none above the parent's."""
    files = [path for path in sorted(directory.rglob(_QUOTA)) if path.parent != directory]
    quotas = {}
    for file in files:  # from the outside in: a quota goes before those that it bounds
        with suppress(OSError):  # a pod may end meanwhile
            if (quota := int(file.read_text())) > 0:
                file.write_text("-1")
                quotas[str(file)] = quota
    return quotas


def _give_quotas_back(quotas: dict[str, int]) -> None:
    for file, quota in quotas.items():
        with suppress(OSError):
            Path(file).write_text(str(quota))


def process_files(path: str) -> list[Path]:
    """Returns the files to write a process id to, to make that process a member."""
    return [hierarchy / CGROUP / path / "cgroup.procs" for hierarchy in _hierarchies()]


def members() -> set[int]:
    """Returns every process in any cgroup of the lab."""
    found: set[int] = set()
    for hierarchy in _hierarchies():
        for directory in _deepest_first(hierarchy / CGROUP):
            with suppress(OSError):
                found.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
    return found


def kill_members() -> None:
    """Ends every process of the lab, including those that start meanwhile."""

    def all_gone() -> bool:
        for pid in members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not members()

    wait_for("the lab's processes to end", all_gone, timeout_s=30, interval_s=0.05)


def remove() -> None:
    """Removes every cgroup of the lab. Raises TimeoutError if any is left after 30 s, as one with processes is."""

    def all_removed() -> bool:
        left = [path for hierarchy in _hierarchies() for path in _deepest_first(hierarchy / CGROUP)]
        for directory in left:
            with suppress(OSError):  # busy for a moment after its last process died
                directory.rmdir()
        return not any((hierarchy / CGROUP).exists() for hierarchy in _hierarchies())

    wait_for("the lab's cgroups to go", all_removed, timeout_s=30, interval_s=0.05)


def _hierarchies() -> list[Path]:
    if is_v2():
        return [_ROOT]
    return [path for path in sorted(_ROOT.iterdir()) if path.is_dir() and not path.is_symlink()]


def _deepest_first(directory: Path) -> Iterator[Path]:
    for parent, _, _ in os.walk(directory, topdown=False):
        yield Path(parent)


def _delegate(directory: Path) -> None:
    have = (directory / "cgroup.controllers").read_text().split()
    for controller in _CONTROLLERS_V2:
        if controller in have:
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")
