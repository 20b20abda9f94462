"""Speed on one thread, in processor time, by turns: prompts, and tokens after them; and what the server adds."""

import argparse
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_compressor.progress import Progress
from tests.bench import language_text
from tests.bench.language_models import FP32, Models
from tests.bench.language_processes import CTRANSLATE2, LLAMA, OURS, Process, of_width, running
from tests.bench.language_ratios import by_turns, target
from tests.bench.language_server import Server, serving

PROMPT, COUNT = 128, 33
"""The tokens of a prompt, and of an answer: one with the prompt, and 32 after it."""
DECODE, PREFILL, OVERHEAD = 0.95, 0.90, 1.05


@dataclass(frozen=True)
class Speed:
    """One round of one of those that are compared."""

    who: str
    width: str
    bytes: int
    """The bytes of its weights."""
    prompt_per_second: float
    """Tokens per second of a processor."""
    decode_per_second: float


@dataclass(frozen=True)
class Overhead:
    """One round of the server beside the bare loop, in seconds of processors for the same tokens."""

    width: str
    server_seconds: float
    loop_seconds: float
    tokens: int


def run(
    models: Models, folder: Path, options: argparse.Namespace, progress: Progress
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Returns the (targets, runs)."""
    texts = language_text.windows(models.ours[FP32] / "tokenizer.json", max(options.rounds, 2), PROMPT).tolist()
    targets: list[dict[str, Any]] = []
    runs: list[Any] = []
    for width in options.widths:
        with contextlib.ExitStack() as stack:
            peers = [who for who in of_width(width) if who in options.peers]
            processes = {who: stack.enter_context(running(who, models, width)) for who in peers}
            server = stack.enter_context(serving(models.ours[width]))
            found = _rounds(models, width, processes, texts, options.rounds, progress)
            over = _beside(width, server, processes[OURS], texts, options.rounds, progress)
        runs += [*found, *over]
        targets += _targets(width, found, over)
    return targets, runs


def _rounds(
    models: Models, width: str, processes: Mapping[str, Process], texts: Any, rounds: int, progress: Progress
) -> list[Speed]:
    ours, llama = models.bytes_of(width)
    of_others = {LLAMA: llama, CTRANSLATE2: models.ctranslate2_bytes}
    found = []
    for process in processes.values():
        process.ask(texts[-1][:16], 3)  # the first run takes memory
    for number in range(rounds):
        progress.count(f"speed, {width}: round", number + 1, rounds)
        order = list(processes)
        random.Random(number).shuffle(order)
        for who in order:
            answer = processes[who].ask(texts[number], COUNT)
            found.append(
                Speed(
                    who, width, of_others.get(who, ours), PROMPT / answer.prompt_seconds,
                    (COUNT - 1) / answer.rest_seconds,
                )
            )  # fmt: skip
    return found


def _beside(width: str, server: Server, loop: Process, texts: Any, rounds: int, progress: Progress) -> list[Overhead]:
    found = []
    server.ask(texts[-1][:16], 3)
    for number in range(rounds):
        progress.count(f"server, {width}: round", number + 1, rounds)
        if number % 2:
            answer = loop.ask(texts[number], COUNT)
            seconds, tokens = server.ask(texts[number], COUNT)
        else:
            seconds, tokens = server.ask(texts[number], COUNT)
            answer = loop.ask(texts[number], COUNT)
        found.append(
            Overhead(width, seconds, answer.prompt_seconds + answer.rest_seconds * (tokens - 1) / (COUNT - 1), tokens)
        )
    return found


def _targets(width: str, found: Sequence[Speed], over: Sequence[Overhead]) -> list[dict[str, Any]]:
    def of(who: str, figure: str) -> list[float]:
        return [getattr(one, figure) for one in found if one.who == who]

    made = []
    if any(one.who == LLAMA for one in found):
        decode = by_turns(of(OURS, "decode_per_second"), of(LLAMA, "decode_per_second"))
        prompt = by_turns(of(OURS, "prompt_per_second"), of(LLAMA, "prompt_per_second"))
        made = [
            target(f"decode, {width}, tokens to llama.cpp's", decode, DECODE),
            target(f"prompt, {width}, tokens to llama.cpp's", prompt, PREFILL),
        ]
    beside = by_turns([one.server_seconds for one in over], [one.loop_seconds for one in over])
    return [*made, target(f"server, {width}, processor time to the bare loop's", beside, OVERHEAD, at_most=True)]
