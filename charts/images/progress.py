"""Runs other programs, and prints the progress of a build; the lab of the tests prints its own in the same way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

BEGUN_VARIABLE = "EDGEMODEL_BEGUN"
BEGUN = float(os.environ.get(BEGUN_VARIABLE) or time.monotonic())
"""The monotonic clock's time when this program began, or the one that started it and set the variable."""
DEBIAN_PACKAGES = dict.fromkeys(("objdump", "nm", "as", "ld"), "binutils")
"""The package of a program with another name."""


class BuildError(Exception):
    """A person must correct something, which the message names."""


def print_progress(text: str) -> None:
    """Prints a line to standard error, with the seconds since the program began."""
    print(f"[{time.monotonic() - BEGUN:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def timed(text: str) -> Iterator[None]:
    """Prints a line when the step begins, and one with its duration when it ends."""
    print_progress(f"{text} …")
    begun = time.monotonic()
    yield
    print_progress(f"{text}: done ({time.monotonic() - begun:.1f} s)")


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """Returns the standard output of a command. Raises BuildError with the end of its output if it fails or is
    missing."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        package = DEBIAN_PACKAGES.get(words[0], words[0])
        raise BuildError(f"{words[0]} is missing: apt-get install {package}") from None
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise BuildError(f"{' '.join(words)}: exit {done.returncode}\n{tail}")
    return done.stdout
