"""Calls a function in a child process, so that a crash of a library ends the child alone.

Runtimes are native code, and models of strangers have ended whole processes: no exception is raised then, and a step
would end with the process that applies it. Starting Python and a runtime for each call would take longer than most
calls: one process imports them once and forks for each call, which takes milliseconds. It has one thread, so that it
may fork.

Requests and answers are lines of JSON of a limited size, and nothing is ever unpickled: a model that has taken over its
child can send any text, and no code.
"""

import atexit
import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json
from edgemodel.plain import from_plain, to_plain

WARM: Final = ("edge_runtime.backends.onnxruntime", "edge_compressor.evaluation.first_sample")
"""The modules that are imported before the first call."""
MAX_BYTES: Final = 64 << 10
"""The largest size in bytes of one line from a child process; arrays and models are in files."""
MAX_LINES: Final = 64
"""The largest number of lines from one call."""
_MAX_TEXT: Final = 2000
"""The largest number of characters in the message of an exception."""


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


class UnreadableAnswer(Exception):
    """The child process answered something that no function of ours answers; the text says what is wrong."""


def call(function: Callable[..., None], *arguments: Any, max_seconds: int = 0) -> None:
    """Calls ``function(*arguments)`` in a child process; the arguments are values of JSON.

    The child is ended after ``max_seconds``, with Crashed(SIGALRM); 0: never. Raises Crashed, FailedInChild,
    UnreadableAnswer, OSError.
    """
    with _lock:
        _Parent.running().call(_Request(function.__module__, function.__qualname__, arguments, max_seconds))


def warm_up() -> None:
    """Starts the process that forks, without waiting for it, so that the first call finds it ready. Raises OSError."""
    with _lock:
        _Parent.running()


def doing(what: str) -> None:
    """Says what the function does next, for ``Crashed.during``. Has no effect outside a child process."""
    if _to_parent is not None:
        _send(_to_parent, _Line(doing=what))


@dataclass(frozen=True)
class _Request:
    module: str
    function: str
    arguments: tuple[Any, ...]
    max_seconds: int


@dataclass(frozen=True)
class _Line:
    """One line from a child: what it does next, or how the call ended."""

    doing: str | None = None
    ended: bool = False
    failure: str | None = None
    """The message of the exception; None: the function returned."""


@dataclass(frozen=True)
class _Answer:
    """The end of a call, as the process that forks tells it."""

    code: int
    """The exit code of the child, or the number of the signal that ended it, negative."""
    during: str = ""
    ended: bool = False
    """True if the function returned or raised."""
    failure: str | None = None
    unreadable: str = ""
    """The fault of a line from the child; empty: none."""


_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""The environment in which no imported library starts a thread."""
_lock = threading.Lock()
_to_parent: BinaryIO | None = None
"""The way from a child to the process that forked it; None outside a child."""


def _send(to: BinaryIO, value: _Request | _Line | _Answer) -> None:
    to.write(json.dumps(to_plain(value)).encode() + b"\n")
    to.flush()


def _line_from(given: BinaryIO) -> bytes:
    """Returns the next line, which is empty at the end. Raises UnreadableAnswer."""
    line = given.readline(MAX_BYTES + 1)
    if len(line) > MAX_BYTES:
        raise UnreadableAnswer(f"a line of it is longer than {MAX_BYTES} bytes")
    return line


class _Parent:
    """The process that forks, as the process that calls sees it."""

    _current: "_Parent | None" = None

    def __init__(self) -> None:
        theirs_in, requests = os.pipe()
        answers, theirs_out = os.pipe()
        self._requests, self._answers = os.fdopen(requests, "wb"), os.fdopen(answers, "rb")
        ends = (theirs_in, theirs_out)
        try:
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
        finally:
            for end in ends:
                os.close(end)

    @classmethod
    def running(cls) -> "_Parent":
        """Returns the process, started if there is none."""
        if cls._current is None or cls._current._process.poll() is not None:
            cls._current = cls()
            atexit.register(cls._current._end)
        return cls._current

    def call(self, request: _Request) -> None:
        try:
            try:
                _send(self._requests, request)
                line = _line_from(self._answers)
            except BrokenPipeError:
                line = b""
            answer = _answer_in(line) if line else _Answer(self._process.wait())
        except BaseException:  # whatever interrupted the caller, the next call must not get this call's answer
            self._end(now=True)
            raise
        if answer.unreadable:
            raise UnreadableAnswer(answer.unreadable)
        if answer.failure is not None:
            raise FailedInChild(answer.failure)
        if not answer.ended and answer.code < 0:
            raise Crashed(-answer.code, answer.during)
        if not answer.ended:
            raise FailedInChild(f"the process ended with exit code {answer.code}")

    def _end(self, *, now: bool = False) -> None:
        """Ends the process; ``now``: together with its child."""
        with contextlib.suppress(BrokenPipeError):  # a request that was not read whole
            self._requests.close()
        if now:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._answers.close()


def _answer_in(line: bytes) -> _Answer:
    try:
        return from_plain(_Answer, parse_json(line), "the answer")
    except ValueError as error:
        raise UnreadableAnswer(in_words(error)) from error


def serve(requests_from: int, answers_to: int) -> None:
    """Forks for each request, until the caller closes its end of ``requests_from``. Both are numbers of open files."""
    requests, answers = os.fdopen(requests_from, "rb"), os.fdopen(answers_to, "wb")
    for module in WARM:
        importlib.import_module(module)
    for line in requests:
        given, taken = os.pipe()
        child = os.fork()
        if not child:
            os.close(given)
            os.close(requests_from)
            os.close(answers_to)
            _call(line, os.fdopen(taken, "wb"))
        os.close(taken)
        with os.fdopen(given, "rb") as lines:
            answer = _read(lines)
        if answer.unreadable:
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _send(answers, _Answer(code, answer.during, answer.ended, answer.failure, answer.unreadable))


def _read(lines: BinaryIO) -> _Answer:
    """Returns the answer in the lines of a child, without its exit code."""
    during = ""
    try:
        for _ in range(MAX_LINES):
            if not (line := _line_from(lines)):
                return _Answer(0, during)
            told = from_plain(_Line, parse_json(line), "a line of it")
            if told.ended:
                return _Answer(0, during, told.ended, told.failure)
            if told.doing is None:
                return _Answer(0, during, unreadable="a line of it says nothing")
            during = told.doing[:_MAX_TEXT]
        return _Answer(0, during, unreadable=f"it has more than {MAX_LINES} lines")
    except UnreadableAnswer as error:
        return _Answer(0, during, unreadable=str(error))
    except ValueError as error:
        return _Answer(0, during, unreadable=in_words(error, _MAX_TEXT))


def _call(line: bytes, writer: BinaryIO) -> NoReturn:
    """Calls the requested function and ends the process, which is a child."""
    global _to_parent
    _to_parent = writer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would be as large as the model
    with contextlib.suppress(OSError):  # if memory runs out, the system ends this process and not the caller
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        request = from_plain(_Request, parse_json(line))
        signal.alarm(request.max_seconds)
        getattr(importlib.import_module(request.module), request.function)(*request.arguments)
        ended = _Line(ended=True)
    except BaseException as error:
        ended = _Line(ended=True, failure=in_words(error)[:_MAX_TEXT])
    _send(writer, ended)
    os._exit(0)
