#!/usr/bin/env python3
"""Language models beside llama.cpp, CTranslate2 and onnxruntime-genai: ``make bench-language``.

The model is SmolLM2-135M, with 8 bits, 4 bits, and both. All figures of a bit width are of one file, loaded as the
server loads it. Speeds are ratios of processor time on one thread, of rounds by turns, so that a slow minute of the
machine affects each. Each part is a module of its own, tests/bench/language_*.py. The benchmark prints tables and
writes build/bench/language.json; a run of some parts keeps the file's results of the others.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "operator"), str(ROOT)])  # of the processes that judge a model


from edge_compressor.progress import Progress  # noqa: E402
from tests.bench import (  # noqa: E402
    language_contention,
    language_memory,
    language_models,
    language_peaks,
    language_processes,
    language_quality,
    language_sizes,
    language_speed,
    language_text,
)
from tests.bench.parts import write_parts  # noqa: E402
from tests.bench.prerequisites import Prerequisite, Processors, require  # noqa: E402
from tests.bench.progress import progress  # noqa: E402
from tests.bench.report import FOLDER, show_targets  # noqa: E402

Part = Callable[[Any, Path, argparse.Namespace, Progress], tuple[list[dict[str, Any]], Any]]
"""A function from (models, work folder, options, progress) to (targets, runs)."""
PARTS: dict[str, Part] = {
    "quality": language_quality.run,
    "speed": language_speed.run,
    "memory": language_memory.run,
    "contention": language_contention.run,
    "sizes": language_sizes.run,
    "peaks": language_peaks.run,
}
ROUNDS, QUICK_ROUNDS = 9, 2
REPORT = FOLDER / "language.json"


def prerequisites(options: argparse.Namespace) -> list[Prerequisite]:
    """Returns those of the parts that are asked for."""
    needed: list[Prerequisite] = []
    if set(options.parts) - {"peaks"}:
        needed += [*language_models.PREREQUISITES, language_text.PREREQUISITE]
    if "contention" in options.parts:
        needed.append(Processors(language_contention.PROCESSORS, "a busy node"))
    return needed


def argument_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--widths", nargs="*", default=list(language_models.STEPS), choices=list(language_models.STEPS))
    parser.add_argument(
        "--rounds", type=int, help=f"default: {ROUNDS}, which targets need; with --quick {QUICK_ROUNDS}"
    )
    parser.add_argument("--quick", action="store_true", help="few rounds and short texts, to see that all of it runs")
    everybody = list(language_processes.of_width(language_models.EIGHT))
    parser.add_argument("--peers", nargs="*", default=everybody, choices=everybody)
    parser.add_argument("--verbose", action="store_true", help="show all progress, and not a line a minute")
    return parser


def main() -> None:
    """Measures the parts that are asked for, and writes their figures."""
    options = argument_parser().parse_args()
    require(prerequisites(options))
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.peers = [language_processes.OURS, *(who for who in options.peers if who != language_processes.OURS)]
    told = progress(verbose=options.verbose)
    models = language_models.make(options.widths, told) if set(options.parts) - {"peaks"} else None
    parts: dict[str, Any] = json.loads(REPORT.read_text())["parts"] if REPORT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts:
            print(f"part {name}", file=sys.stderr, flush=True)
            own = Path(folder) / name
            own.mkdir()
            targets, runs = PARTS[name](models, own, options, told)
            about = {"rounds": options.rounds, "quick": options.quick}
            parts[name] = {**about, "targets": targets, "runs": [asdict(run) for run in runs]}
            write_parts(REPORT, parts)
            show_targets(targets)
            if options.quick or options.rounds < ROUNDS:
                print(f"this is no verdict, which needs {ROUNDS} rounds of whole texts")


if __name__ == "__main__":
    main()
