"""The programs that tests with the marker ``lab_programs`` may start, and a guard that lets no other test start them.

They come with the lab (``make lab-up``), need root or compile. ``make check`` runs every unit test without the marker,
on a machine that may have none of them, so a test that starts one and lacks the marker must fail wherever it runs.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest

MARKER: Final = "lab_programs"
PROGRAMS: Final = frozenset({
    "docker-registry", "registry", "prometheus", "promtool", "helm", "kubectl",
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "containerd", "ctr", "runc",
    "unshare", "nsenter", "chroot", "mount", "mmdebstrap", "sudo",
    "as", "ld", "cc", "gcc", "go", "make",
})  # fmt: skip
FIXTURES: Final = frozenset({"registry", "locked_registry", "objects"})
"""The fixtures that start one of the programs: a test that uses one, directly or not, gets the marker."""

_TEMPORARY: Final = tempfile.gettempdir()
"""The folder for temporary files at the start of the tests, which a program in this process may change."""

_current: pytest.Item | None = None


def find(*names: str, package: str) -> str:
    """Returns the path of the first of these programs on PATH.

    Raises AssertionError if there is none: a test that needs a program and finds none fails, and is never skipped.
    """
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found, f"{names[0]} is missing; it comes with the lab: make lab-up, or apt-get install {package}"
    return found


def mark(item: pytest.Item) -> None:
    """Gives the marker to a test that uses one of FIXTURES."""
    if FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker(MARKER)


def watch(item: pytest.Item | None) -> None:
    """Names the test that runs from now on; None: no test runs, and everything may be started."""
    global _current
    _current = item


def install_guard() -> None:
    """Fails a test without the marker that starts one of PROGRAMS, as long as this process lives."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "subprocess.Popen" or _current is None or _current.get_closest_marker(MARKER):
        return
    executable, words, _, environment = arguments
    program = _program(executable or (words if isinstance(words, (str, os.PathLike)) else words[0]), environment)
    if program is not None:
        pytest.fail(f"{_current.nodeid} starts {program} and is not marked with {MARKER}", pytrace=False)


def _program(executable: str | os.PathLike[str], environment: Any) -> Path | None:
    """Returns the path of one of PROGRAMS; None for any other, for none, and for a fake that a test wrote itself."""
    name = os.fsdecode(executable)
    if Path(name).name not in PROGRAMS:
        return None
    path = name if "/" in name else shutil.which(name, path=(environment or os.environ).get("PATH"))
    return None if path is None or Path(path).is_relative_to(_TEMPORARY) else Path(path)
