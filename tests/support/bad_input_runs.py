"""Gives many bad inputs to one entry point, and reports at the end for which of them the message is not for a user."""

import contextlib
import io
import itertools
import os
import signal
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, NoReturn, TypeVar

import pytest

from tests.support import tiers
from tests.support.speaking import words_of_a_programmer

MAX_SECONDS: Final = 20
"""The time after which an input counts as hanging."""
MAX_SHOWN: Final = 40
QUICK_STEP: Final = 21

T = TypeVar("T")


class Hung(BaseException):
    """An input took longer than MAX_SECONDS."""


@dataclass
class Tries:
    """The inputs of an entry point, and the faults of its answers.

    ``allowed`` has the exit codes that the entry point documents; with code 0 no message is needed.
    """

    entry_point: str
    allowed: Collection[int]
    count: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)

    def call(self, about: str, main: Callable[[], int]) -> None:
        """Calls ``main`` in this process, like a process of its own; ``about`` names the input."""
        self.count += 1
        printed = io.StringIO()
        try:
            with within(MAX_SECONDS), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                code = main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except Hung:
            self.problems.append(f"{about}: hung for {MAX_SECONDS} s, and had said {printed.getvalue()[-300:]!r}")
            return
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.problems.append(f"{about}: {type(error).__name__}: {error} ({last.filename}:{last.lineno})"[:600])
            return
        self.note(about, code, printed.getvalue())

    def note(self, about: str, code: int, text: str) -> None:
        """Judges the exit code and the output."""
        if code not in self.allowed:
            self.problems.append(f"{about}: exit code {code}: {text[-400:]}")
        elif code != 0:
            self.refused += 1
            self.say(about, text)

    def say(self, about: str, text: str) -> None:
        """Judges a text for users alone."""
        if not text.strip():
            self.problems.append(f"{about}: says nothing")
        elif found := words_of_a_programmer(text):
            self.problems.append(f"{about}: {found} in: {text.strip()[-400:]}")

    def judge(self, at_least: int = 1, *, some_are_refused: bool = True) -> None:
        """Fails with a list of the faults, and if fewer than ``at_least`` inputs were tried or if none was refused."""
        TRIED[self.entry_point] = TRIED.get(self.entry_point, 0) + self.count
        shown = "\n".join(self.problems[:MAX_SHOWN])
        if self.problems:
            pytest.fail(f"{self.entry_point}: {len(self.problems)} of {self.count} inputs:\n{shown}", pytrace=False)
        assert self.count >= (1 if tiers.is_quick() else at_least), f"{self.entry_point}: only {self.count} inputs"
        assert self.refused or not some_are_refused, f"{self.entry_point}: none of {self.count} inputs was refused"


TRIED: Final[dict[str, int]] = {}
"""The number of inputs in this run, by entry point."""


def table() -> str:
    """Returns the number of inputs of each entry point in this process, one line each, and their sum."""
    rows = [*sorted(TRIED.items()), ("in all", sum(TRIED.values()))]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {count:6}" for name, count in rows)


def share(items: Iterable[T]) -> Iterator[T]:
    """Yields all of ``items``, and in the quick tier every 21st of them, the first included."""
    return itertools.islice(items, 0, None, QUICK_STEP if tiers.is_quick() else 1)


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raises Hung in this (the main) thread after ``seconds``."""

    def ring(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def is_root() -> bool:
    """Returns whether no file can be forbidden to this process."""
    return os.geteuid() == 0


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Runs the context without root's rights, so that the modes of files count. Needs root."""
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
