"""Runs other programs, and prints the progress of the build. It is the only module that prints while the build runs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

BEGUN = time.monotonic()


class BuildError(Exception):
    """A person must correct something, which the message names."""


def say(text: str) -> None:
    """Prints a line with the time since the build began to standard error."""
    print(f"[{time.monotonic() - BEGUN:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Prints a line when the step begins, and one with its duration when it ends."""
    say(f"{text} …")
    begun = time.monotonic()
    yield
    say(f"{text}: done ({time.monotonic() - begun:.1f} s)")


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """Returns the standard output of a command. Raises BuildError with the end of its output if it fails or is
    missing."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise BuildError(f"{words[0]} is missing: install the package that has it") from None
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise BuildError(f"{' '.join(words)}: exit {done.returncode}\n{tail}")
    return done.stdout
