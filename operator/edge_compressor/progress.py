"""Progress for people: plain lines with elapsed seconds, at a limited rate."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from edge_compressor import supervision
from edgemodel.progress import StepBegun


class Progress:
    """A writer of lines such as ``[ 3.2 s] text``. ``clock`` returns seconds; it need not start at zero."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause_seconds: float = 5.0,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._start = clock()
        self._last_count = self._start
        self.tell: Callable[[StepBegun], str] | None = None
        """A function that reports each step; it returns why that failed, or an empty text."""
        self.variant = ""
        """The variant whose steps run; empty if there is only one recipe."""

    def say(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        now = self._clock()
        self._last_count = now
        supervision.note_line(text)
        print(f"[{now - self._start:5.1f} s] {text}", file=self._stream, flush=True)

    def begin_step(self, name: str, kind: str, number: int, of: int) -> None:
        """Reports the beginning of a step; ``number`` counts from 0."""
        step = StepBegun(name, kind, number + 1, of, self.variant)
        supervision.note_step(f"variant {self.variant}: step {name}" if self.variant else f"step {name}")
        self.say(str(step))
        if self.tell is not None and (hindrance := self.tell(step)):
            self.say(f"the operator did not get the report of the step: {hindrance}")

    def end_step(self, name: str, size_bytes: int) -> None:
        """Reports the end of a step, whose result has ``size_bytes``."""
        supervision.note_step("")
        self.say(f"step {name} done: {size_bytes} bytes")

    def count(self, what: str, done: int, total: int, unit: str = "") -> None:
        """Writes ``what: done of total``, but at most one such line in ``pause_seconds``."""
        if self._clock() - self._last_count >= self._pause_seconds:
            self.say(f"{what}: {done} of {total}{f' {unit}' if unit else ''}")
