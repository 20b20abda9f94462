"""Runs other programs, and prints the progress. It is the only module that prints during ``up`` and ``down``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

BEGUN = time.monotonic()
HEARTBEAT_S = 30.0


class LabError(Exception):
    """A person must correct something, which the message names in one line or a few."""


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGUN:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Prints a line with the duration when the step ends."""
    begun = time.monotonic()
    yield
    say(f"{text} ({time.monotonic() - begun:.1f} s)")


def run(argv: Sequence[str | Path], *, stdin: str | None = None) -> str:
    """Returns the standard output of a short command. Raises LabError with its standard error if it fails."""
    done = subprocess.run([str(word) for word in argv], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def run_long(
    text: str, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Runs a command of minutes: output goes to ``log``, a line is printed every half minute. Raises LabError with the
    log's tail if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    say(f"{text} …")
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd
        )
        try:
            while True:
                try:
                    process.wait(timeout=HEARTBEAT_S)
                    break
                except subprocess.TimeoutExpired:
                    say(f"{text} … {time.monotonic() - begun:.0f} s so far")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise LabError(f"{text}: exit {process.returncode}; {log} ends with\n{tail}")
    say(f"{text}: done ({time.monotonic() - begun:.1f} s)")
