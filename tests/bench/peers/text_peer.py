"""The protocol of everything that generates text here: a line of JSON asks, another one answers, with what it took.

A question has the tokens of a prompt, and how many tokens are wanted after it. The answer has the seconds of the
prompt, with the choice of the first token, and of the other tokens: of processors, of all threads, and of the clock.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

Times = tuple[float, float]
"""Seconds of processors, and of the clock."""


def now() -> Times:
    """Returns the times so far."""
    return time.process_time(), time.perf_counter()


def since(start: Times) -> Times:
    """Returns the times since ``start``."""
    end = now()
    return end[0] - start[0], end[1] - start[1]


def by_steps(begin: Callable[[list[int]], int], step: Callable[[int], int]) -> Callable[[list[int], int], Any]:
    """Returns the function that answers with ``begin``, which reads a prompt, and ``step``, which reads a token; each
    returns the most probable token that follows."""

    def answer(prompt: list[int], count: int) -> dict[str, Any]:
        start = now()
        tokens = [begin(prompt)]
        read = since(start)
        start = now()
        while len(tokens) < count:
            tokens.append(step(tokens[-1]))
        return {"prompt": read, "rest": since(start), "tokens": tokens}

    return answer


def serve(answer: Callable[[list[int], int], dict[str, Any]]) -> None:
    """Answers until the end of the input."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer(asked["prompt"], asked["count"])), file=out, flush=True)
