"""The progress of benchmarks that run for minutes or hours: a line a minute, so that no log is flooded."""

import io
import sys
import time
from collections.abc import Callable
from typing import TextIO

from edge_compressor.progress import Progress

PAUSE_SECONDS = 60.0


class _Seldom(io.TextIOBase):
    """Passes on a line if the last one is PAUSE_SECONDS old, and drops the others."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream, self._clock, self._last, self._line = stream, clock, clock(), ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if self._clock() - self._last >= PAUSE_SECONDS:
                self._last = self._clock()
                print(line, file=self._stream, flush=True)
        return len(text)


def progress(
    *, verbose: bool = False, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Progress:
    """Returns a progress that writes at most a line a minute to ``stream``, by default standard error; every line if
    ``verbose``."""
    out = stream or sys.stderr
    if verbose:
        return Progress(out, clock=clock)
    seldom: TextIO = _Seldom(out, clock)  # type: ignore[assignment]  # print needs no more of a stream
    return Progress(seldom, clock=clock, pause_seconds=PAUSE_SECONDS)
