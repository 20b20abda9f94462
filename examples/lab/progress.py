"""Runs other programs, and prints the progress as builds of images do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from charts.images.progress import print_progress, timed

__all__ = ["LabError", "print_progress", "run", "run_long", "timed"]

HEARTBEAT_S = 30.0


class LabError(Exception):
    """A person must correct something, which the message names in one line or a few."""


def run(argv: Sequence[str | Path], *, stdin: str | None = None) -> str:
    """Returns the standard output of a short command. Raises LabError with its standard error if it fails."""
    done = subprocess.run([str(word) for word in argv], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def run_long(
    text: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    note: Callable[[Path], str] = lambda _: "",
) -> None:
    """Runs a command of minutes: output goes to ``log``, a line is printed every half minute, with the ``note`` that is
    read from the log. Raises LabError with the log's tail if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    print_progress(f"{text} …")
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
                    print_progress(f"{text} … {time.monotonic() - begun:.0f} s so far{note(log)}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise LabError(f"{text}: exit {process.returncode}; {log} ends with\n{tail}")
    print_progress(f"{text}: done ({time.monotonic() - begun:.1f} s)")
