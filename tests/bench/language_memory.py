"""Private memory with a full cache of 2,048 tokens: what a node cannot take back."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_compressor.progress import Progress
from tests.bench import language_text
from tests.bench.language_models import FP32, Models
from tests.bench.language_processes import CONTEXT, LLAMA, OURS, memory_bytes, of_width, running
from tests.bench.language_ratios import by_turns, target

NEW = 16
GOAL = 1.0


@dataclass(frozen=True)
class Memory:
    """The memory of one process in bytes."""

    who: str
    width: str
    private_bytes: int
    mapped_bytes: int
    """The bytes of files that are in memory, and that the kernel may drop."""


def run(
    models: Models, folder: Path, options: argparse.Namespace, progress: Progress
) -> tuple[list[dict[str, Any]], list[Memory]]:
    """Returns the (targets, runs); those that no target names have one round."""
    length = 256 if options.quick else CONTEXT - NEW
    (text, *_) = language_text.windows(models.ours[FP32] / "tokenizer.json", 2, length).tolist()
    runs: list[Memory] = []
    targets: list[dict[str, Any]] = []
    for width in options.widths:
        peers = [who for who in of_width(width) if who in options.peers]
        for number in range(options.rounds):
            progress.count(f"memory, {width}: round", number + 1, options.rounds)
            for who in (who for who in peers if not number or who in (OURS, LLAMA)):
                with running(who, models, width) as process:
                    process.ask(text, NEW)
                    runs.append(
                        Memory(who, width, memory_bytes(process.pid, "Pss_Anon"), memory_bytes(process.pid, "Pss_File"))
                    )
        ours, llama = (
            [one.private_bytes for one in runs if (one.who, one.width) == (who, width)] for who in (OURS, LLAMA)
        )
        if llama:
            ratio = by_turns(ours, llama)
            targets.append(target(f"private memory, {width}, to llama.cpp's", ratio, GOAL, at_most=True))
    return targets, runs
