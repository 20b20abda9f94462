"""The memory that a command and its child processes take."""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 0.01
"""The time between two looks at the processes."""


def peak_anonymous_bytes(command: Sequence[str]) -> int:
    """Returns the largest sum of anonymous resident memory that the processes of ``command`` have at a time.

    Pages of mapped files do not count: the system drops them where memory is short. Raises CalledProcessError.
    """
    peak, said = 0, [""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        reader = threading.Thread(target=lambda: said.append(process.communicate()[0]))
        reader.start()
        while reader.is_alive():
            peak = max(peak, sum(map(_anonymous_bytes, _family(process.pid))))
            reader.join(_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, said[-1])
    return peak


def _family(root: int) -> set[int]:
    """Returns a process and all that come from it."""
    parents = {int(folder.name): _parent(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit()}
    found: set[int] = set()
    new = {root}
    while new:
        found |= new
        new = {process for process, parent in parents.items() if parent in found} - found
    return found


def _parent(folder: Path) -> int:
    """Returns the process that a process comes from; 0 if it has ended."""
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _anonymous_bytes(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended
        return 0
    sizes = (line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:"))
    return sum(1024 * int(size) for size in sizes)
