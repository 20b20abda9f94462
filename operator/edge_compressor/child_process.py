"""Calls a function in a child process, so that a crash of a library ends the child alone.

Runtimes are native code, and models of strangers have ended whole processes: no exception is raised then, and a Job
would end without a report. Starting Python and a runtime for each call would take longer than most calls: one process
imports them once and forks for each call, which takes milliseconds. It has one thread, so that it may fork.
"""

import atexit
import contextlib
import importlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Final, TypeVar

from edgemodel.error_words import in_words

T = TypeVar("T")

WARM: Final = ("edge_runtime.backends.onnxruntime", "edge_compressor.evaluation.first_sample")
"""The modules that are imported before the first call."""


class Crashed(Exception):
    """A signal ended the child process."""

    def __init__(self, number: int, during: str) -> None:
        super().__init__(f"signal {number}")
        self.number = number
        """The number of the signal, e.g. 11."""
        self.during = during
        """The last text that the function passed to ``doing``; empty: none."""


class FailedInChild(Exception):
    """The function raised an exception, which the text explains."""


def call(function: Callable[..., T], *arguments: Any, max_seconds: int = 0) -> T:
    """Returns ``function(*arguments)``, called in a child process; function, arguments and result can be pickled.

    The child is ended after ``max_seconds``, with Crashed(SIGALRM); 0: never. Raises Crashed, FailedInChild, OSError.
    """
    with _lock:
        return _Parent.running().call(function, arguments, max_seconds)  # type: ignore[no-any-return]


def warm_up() -> None:
    """Starts the process that forks, without waiting for it, so that the first call finds it ready. Raises OSError."""
    with _lock:
        _Parent.running()


def doing(what: str) -> None:
    """Says what the function does next, for ``Crashed.during``. Has no effect outside a child process."""
    if _to_parent is not None:
        _to_parent.send((_DOING, what))


_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""The environment in which no imported library starts a thread."""
_DOING, _RETURNED, _RAISED = "doing", "returned", "raised"
_lock = threading.Lock()
_to_parent: Connection | None = None
"""The way from a child to the process that forked it; None outside a child."""


class _Parent:
    """The process that forks, as the process that calls sees it."""

    _current: "_Parent | None" = None

    def __init__(self) -> None:
        theirs_in, self._requests = Pipe(duplex=False)
        self._answers, theirs_out = Pipe(duplex=False)
        with theirs_in, theirs_out:
            ends = (theirs_in.fileno(), theirs_out.fileno())
            command = [sys.executable, "-P", "-c", f"from {__name__} import serve; serve{ends}"]
            # A session of its own: an interrupt from the keyboard reaches the caller, which then ends this process.
            self._process = subprocess.Popen(
                command,
                pass_fds=ends,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    @classmethod
    def running(cls) -> "_Parent":
        """Returns the process, started if there is none."""
        if cls._current is None or cls._current._process.poll() is not None:
            cls._current = cls()
            atexit.register(cls._current._end)
        return cls._current

    def call(self, function: Callable[..., Any], arguments: Sequence[Any], max_seconds: int) -> Any:
        try:
            try:
                self._requests.send((_name(function), arguments, max_seconds))
                code, during, answer = self._answers.recv()
            except (EOFError, BrokenPipeError):
                code, during, answer = self._process.wait(), "", None
        except BaseException:  # whatever interrupted the caller, the next call must not get this call's answer
            self._end(now=True)
            raise
        if answer is None:
            raise Crashed(-code, during) if code < 0 else FailedInChild(f"the process ended with exit code {code}")
        kind, value = answer
        if kind == _RAISED:
            raise FailedInChild(value)
        return value

    def _end(self, *, now: bool = False) -> None:
        """Ends the process; ``now``: together with its child."""
        self._requests.close()
        if now:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._answers.close()


def _name(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def serve(requests_from: int, answers_to: int) -> None:
    """Forks for each request, until the caller closes its end of ``requests_from``. Both are numbers of open files."""
    requests, answers = Connection(requests_from, writable=False), Connection(answers_to, readable=False)
    for module in WARM:
        importlib.import_module(module)
    while True:
        try:
            request = requests.recv()
        except EOFError:
            return
        back, writer = Pipe(duplex=False)
        child = os.fork()
        if not child:
            requests.close()
            answers.close()
            back.close()
            _answer(request, writer)
        writer.close()
        during, answer = "", None
        with back, contextlib.suppress(EOFError):
            while answer is None:
                kind, value = back.recv()
                if kind == _DOING:
                    during = value
                else:
                    answer = kind, value
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answers.send((code, during, answer))


def _answer(request: Any, writer: Connection) -> None:
    """Calls the requested function and ends the process, which is a child."""
    global _to_parent
    _to_parent = writer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would be as large as the model
    with contextlib.suppress(OSError):  # if memory runs out, the system ends this process and not the caller
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        (module, name), arguments, max_seconds = request
        signal.alarm(max_seconds)
        answer = _RETURNED, getattr(importlib.import_module(module), name)(*arguments)
    except BaseException as error:
        answer = _RAISED, in_words(error)
    writer.send(answer)
    os._exit(0)
