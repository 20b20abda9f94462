"""Speed on a busy node, by the clock: twelve processes that never rest share two processors with two threads."""

import argparse
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_compressor.progress import Progress
from tests.bench import language_text
from tests.bench.language_models import FP32, Models
from tests.bench.language_processes import LLAMA, OURS, running
from tests.bench.language_ratios import by_turns, target

BUSY, PROCESSORS = 12, 2
PROMPT, COUNT = 32, 9
TO_LLAMA, TO_ONE_THREAD = 10.0, 0.8
ONE = "ours, one thread"


@dataclass(frozen=True)
class Busy:
    """One round of one of those that are compared."""

    who: str
    width: str
    prompt_per_second: float
    """Tokens per second of the clock."""
    decode_per_second: float


def run(
    models: Models, folder: Path, options: argparse.Namespace, progress: Progress
) -> tuple[list[dict[str, Any]], list[Busy]]:
    """Returns the (targets, runs)."""
    texts = language_text.windows(models.ours[FP32] / "tokenizer.json", max(options.rounds, 2), PROMPT).tolist()
    runs: list[Busy] = []
    targets: list[dict[str, Any]] = []
    for width in options.widths:
        with contextlib.ExitStack() as stack:
            stack.enter_context(on_first_processors())
            processes = {OURS: stack.enter_context(running(OURS, models, width, threads=2))}
            processes[ONE] = stack.enter_context(running(OURS, models, width, threads=1))
            if LLAMA in options.peers:
                processes[LLAMA] = stack.enter_context(running(LLAMA, models, width, threads=2))
            for process in processes.values():
                process.ask(texts[-1], 2)
            stack.enter_context(busy())
            for number in range(options.rounds):
                progress.count(f"busy node, {width}: round", number + 1, options.rounds)
                order = list(processes)
                random.Random(number).shuffle(order)
                for who in order:
                    answer = processes[who].ask(texts[number], COUNT)
                    decode = (COUNT - 1) / answer.rest_wall_seconds
                    runs.append(Busy(who, width, PROMPT / answer.prompt_wall_seconds, decode))
        rates = {
            who: [one.decode_per_second for one in runs if (one.who, one.width) == (who, width)] for who in processes
        }
        if LLAMA in rates:
            targets.append(
                target(f"busy node, {width}, tokens to llama.cpp's", by_turns(rates[OURS], rates[LLAMA]), TO_LLAMA)
            )
        two = by_turns(rates[OURS], rates[ONE])
        targets.append(target(f"busy node, {width}, two threads to one", two, TO_ONE_THREAD))
    return targets, runs


@contextlib.contextmanager
def on_first_processors() -> Iterator[None]:
    """Keeps this process, and those that it starts, on PROCESSORS processors, for as long as the context lasts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:PROCESSORS]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keeps BUSY processes at work for as long as the context lasts."""
    loops = [
        subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], env={"PATH": os.environ["PATH"]})
        for _ in range(BUSY)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()
