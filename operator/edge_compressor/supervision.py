"""Runs the compression in a process of its own, so that a crash of native code ends in a message like other failures.

Quantizers, runtimes and trainers are native code that a step calls in its own process: no exception is raised when they
crash, or when the system ends the process because memory runs out. The process that supervises imports none of them. It
forks before anything else runs, passes signals on, and says which step was at work if a signal ends the other process.
"""

import ctypes
import json
import mmap
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edgemodel import reasons
from edgemodel.error_words import plain
from edgemodel.errors import Stalled
from edgemodel.json_text import parse_json
from edgemodel.plain import from_plain, to_plain

PASSED_ON: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
"""The signals by which others end a program; a process that they end has not crashed."""
MAX_TEXT: Final = 500
"""The largest number of characters of each text about the work."""
_PAGE_BYTES: Final = 16 << 10
"""More than two such texts take in JSON, with at most 12 bytes for a character."""

_WORDS: Final[dict[int, str]] = {
    signal.SIGSEGV: "native code used memory that is not its own",
    signal.SIGBUS: "native code used memory that is not there, as when a disk is full",
    signal.SIGABRT: "native code gave up",
    signal.SIGILL: "native code used an instruction that this processor does not have",
    signal.SIGFPE: "native code divided by zero",
}
_MEMORY: Final = (
    "the system ended the process (signal 9, SIGKILL), as it does when memory runs out: raise "
    "spec.compression.resources.limits.memory{now}; outside a cluster, end other programs or take a machine with more "
    "memory"
)
_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""The files in which a container finds its limit of memory in bytes, in either version of cgroups."""
_NO_LIMIT: Final = 1 << 60
_CHANGE_STEP: Final = "change the step's settings (floatOpTypes, opTypes, excludeNodes), or take another step"
_CHANGE_MODEL: Final = "export the model anew, with another opset or another version of the exporter"
_FROM_TERMINAL: Final = 0x80
"""``SI_KERNEL``: the terminal has sent a signal to all processes of its foreground."""
_DIE_WITH_PARENT: Final = 1
"""``PR_SET_PDEATHSIG``."""


@dataclass(frozen=True)
class _AtWork:
    """The work of the supervised process, which it writes down while it goes on."""

    step: str = ""
    """The step at work, with its variant where there are several; empty: none."""
    said: str = ""
    """The last line of its progress."""
    code: int | None = None
    """The exit code, once the work is done; native code may crash even afterwards, when the process ends."""


_at_work = _AtWork()
_page: mmap.mmap | None = None
"""The memory that both processes share; None in a process that nothing supervises."""


def supervised(work: Callable[[], int]) -> int:
    """Runs ``work`` in a child process and returns its exit code, in both processes. No other thread may run yet.

    If a signal of PASSED_ON ends the child, it ends this process too. Raises Stalled if another one does: OutOfMemory,
    StepFailed, or CompressionFailed if no step was at work.
    """
    global _page
    if sys.platform != "linux":  # others neither wait for signals so, nor end a child with its parent
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    _page = mmap.mmap(-1, _PAGE_BYTES)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *PASSED_ON})
    parent = os.getpid()
    child = os.fork()
    if not child:
        _end_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        code = work()
        _write(replace(_at_work, code=code))
        return code
    code = _wait(child)
    if code >= 0:
        return code
    if -code in PASSED_ON:
        _end_by(signal.Signals(-code))
        return 128 - code
    found = _read(_page)
    if found.code is not None:
        return found.code
    raise _explained(-code, found)


def note_step(step: str) -> None:
    """Notes the step at work, with its variant where there are several; empty: none is at work any more."""
    _write(replace(_at_work, step=step[:MAX_TEXT]))


def note_line(text: str) -> None:
    """Notes a line of the progress."""
    _write(replace(_at_work, said=text[:MAX_TEXT]))


def _write(now: _AtWork) -> None:
    global _at_work
    _at_work = now
    if _page is not None:
        _page[:] = json.dumps(to_plain(now)).encode().ljust(len(_page), b"\0")


def _read(page: mmap.mmap) -> _AtWork:
    """Returns what was last written; nothing of it if it cannot be read, since a crash may have spoilt it."""
    try:
        return from_plain(_AtWork, parse_json(page[:].rstrip(b"\0")))
    except ValueError:
        return _AtWork()


def _wait(child: int) -> int:
    """Returns the exit code of the child, or the number of the signal that ended it, negative. Passes signals on."""
    while True:
        got = signal.sigwaitinfo({signal.SIGCHLD, *PASSED_ON})
        if got.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif got.si_code != _FROM_TERMINAL:
            os.kill(child, got.si_signo)


def _end_by(number: signal.Signals) -> None:
    """Ends this process by a signal, so that whoever waits for it sees that; has no effect on the first process of a
    container."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


def _end_with(parent: int) -> None:
    """Makes the system end this process when its parent has ended, so that no compression goes on unseen."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def _memory_limit() -> str:
    """Returns words for the memory limit of this container, such as `` (24Mi now)``; empty if none can be read."""
    for place in _LIMITS:
        try:
            limit = int(place.read_text())
        except (OSError, ValueError):  # another version of cgroups, or no limit: "max"
            continue
        if limit < _NO_LIMIT:
            return f" ({limit >> 20}Mi now)" if limit % (1 << 20) == 0 else f" ({limit} bytes now)"
    return ""


def _explained(number: int, found: _AtWork) -> Stalled:
    """Returns the failure for a process that the signal ``number`` ended."""
    where = f"{plain(found.step)}: " if found.step else ""
    after = f', after "{plain(found.said)}"' if found.said and not found.step else ""
    if number == signal.SIGKILL:
        return Stalled(reasons.OUT_OF_MEMORY, f"{where}{_MEMORY.format(now=_memory_limit())}{after}")
    words = _WORDS.get(number) or signal.strsignal(number) or "which has no name"
    crash = f"{where}the process crashed (signal {number}: {words}){after}"
    if found.step:
        return Stalled(reasons.STEP_FAILED, f"{crash}: {_CHANGE_STEP}")
    return Stalled(reasons.COMPRESSION_FAILED, f"{crash}: {_CHANGE_MODEL}")
