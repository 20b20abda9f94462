"""The daemons of the lab: started in a session, a cgroup and namespaces of their own, recorded, and found again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import cgroups
from .layout import LOGS, RECORDS, STATE
from .progress import LabError
from .waiting import wait_for

# The caller's environment is not inherited: a proxy setting, for one, would redirect the API server's calls.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(STATE)}
_JOIN_CGROUP = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"'


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    cgroup: str,
    enter: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> int:
    """Starts ``argv`` behind ``enter`` (an nsenter command), records it, and returns its process id, which does not
    change.

    Output goes to a new <state>/log/<name>.log; that of the previous run is in <name>.log.1.
    """
    log = log_of(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    RECORDS.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    join = ["sh", "-c", _JOIN_CGROUP, "lab", *map(str, cgroups.process_files(cgroup)), "--"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*join, *enter, *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env=_ENVIRONMENT,
            pass_fds=pass_fds,
        )
    record = {"pid": process.pid, "started": _start_time(process.pid), "argv": [str(word) for word in argv]}
    (RECORDS / f"{name}.json").write_text(json.dumps(record))
    return process.pid


def log_of(name: str) -> Path:
    """Returns the path of the process's log, which may not exist."""
    return LOGS / f"{name}.log"


def recorded() -> list[str]:
    """Returns the names of all recorded processes, in order, including those that have ended."""
    return sorted(path.stem for path in RECORDS.glob("*.json"))


def pid_of(name: str) -> int | None:
    """Returns the process id, or None if it ended; a later process with the same id is not mistaken for it."""
    try:
        record = json.loads((RECORDS / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    pid = int(record["pid"])
    return pid if record["started"] is not None and _start_time(pid) == record["started"] else None


def kill(name: str) -> None:
    """Ends the process and waits for its end; its record stays."""
    pid = pid_of(name)
    if pid is None:
        return
    os.kill(pid, signal.SIGKILL)
    wait_for(f"{name} to end", lambda: pid_of(name) is None, timeout_s=10, interval_s=0.05)


def pause(name: str) -> None:
    """Stops the process, which keeps all that it has, until ``resume``."""
    _signal(name, signal.SIGSTOP)


def resume(name: str) -> None:
    """Continues a stopped process; has no effect on a running one."""
    _signal(name, signal.SIGCONT)


def _signal(name: str, number: signal.Signals) -> None:
    pid = pid_of(name)
    if pid is not None:
        os.kill(pid, number)


def require_alive(names: Sequence[str]) -> None:
    """Raises LabError with the end of the log of the first that ended."""
    for name in names:
        if pid_of(name) is None:
            tail = "\n".join(log_of(name).read_text(errors="replace").splitlines()[-15:])
            raise LabError(f"{name} ended; {log_of(name)} ends with\n{tail}")


def forget_all() -> None:
    """Deletes all records; the processes themselves continue."""
    shutil.rmtree(RECORDS, ignore_errors=True)


def _start_time(pid: int) -> int | None:
    """Returns clock ticks from the machine's start to that of the process; None if it is gone or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else int(after_name[19])
