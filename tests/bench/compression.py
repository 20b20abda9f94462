#!/usr/bin/env python3
"""The results of the compressor on real models and data: ``make bench-compression``.

Each part is a module of its own, tests/bench/compression_*.py. The benchmark prints tables and writes
build/bench/compression.json; a run of some parts keeps the file's results of the others.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT / "operator"), str(ROOT)]
)  # the memory of the processes that candidates run in


from edge_compressor.progress import Progress  # noqa: E402
from tests.bench import compression_auto, compression_fashion, compression_models, compression_speech  # noqa: E402
from tests.bench.parts import write_parts  # noqa: E402
from tests.bench.prerequisites import Prerequisite, require  # noqa: E402
from tests.bench.progress import progress  # noqa: E402
from tests.bench.report import show_targets  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgemodel-bench"
REPORT = ROOT / "build/bench/compression.json"

Part = Callable[[Path, argparse.Namespace, Progress], tuple[list[dict[str, Any]], list[Any]]]
"""A function from (work folder, options, progress) to (targets, runs)."""


def auto(folder: Path, options: argparse.Namespace, progress: Progress) -> tuple[list[dict[str, Any]], list[Any]]:
    """Measures this part, and returns its targets and its rows."""
    return compression_auto.run(folder, CACHE, options.models or compression_models.names(), progress)


def fashion(folder: Path, options: argparse.Namespace, progress: Progress) -> tuple[list[dict[str, Any]], list[Any]]:
    """Measures this part, and returns its targets and its rows."""
    return compression_fashion.run_full(folder, CACHE, progress)


def steps(folder: Path, options: argparse.Namespace, progress: Progress) -> tuple[list[dict[str, Any]], list[Any]]:
    """Measures this part, and returns its targets and its rows."""
    return compression_fashion.run_steps(folder, CACHE, progress)


def speech(folder: Path, options: argparse.Namespace, progress: Progress) -> tuple[list[dict[str, Any]], list[Any]]:
    """Measures this part, and returns its targets and its rows."""
    return compression_speech.run(folder, CACHE, progress)


PARTS: dict[str, Part] = {"fashion": fashion, "auto": auto, "speech": speech, "steps": steps}


def prerequisites(options: argparse.Namespace) -> list[Prerequisite]:
    """Returns those of the parts and models that are asked for. A quantizer to compare with is none: the table says why
    one could not be installed."""
    needed: dict[str, Sequence[Prerequisite]] = {
        "fashion": compression_fashion.PREREQUISITES,
        "steps": compression_fashion.PREREQUISITES,
        "speech": compression_speech.PREREQUISITES,
        "auto": [
            item
            for name in options.models or compression_models.names()
            for item in compression_models.PREREQUISITES[name]
        ],
    }
    return [item for part in options.parts for item in needed[part]]


def argument_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--models", nargs="*", choices=compression_models.names(), help="of part auto; default: all")
    parser.add_argument(
        "--verbose", action="store_true", help="show the progress of each step, and not a line a minute"
    )
    return parser


def main() -> None:
    """Measures the parts that are asked for, and writes their figures."""
    options = argument_parser().parse_args()
    require(prerequisites(options))
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {"parts": {}}
    parts: dict[str, Any] = report["parts"]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    told = progress(verbose=options.verbose)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts:
            print(f"part {name}", file=sys.stderr, flush=True)
            own = Path(folder) / name
            own.mkdir()
            targets, runs = PARTS[name](own, options, told)
            parts[name] = {"targets": targets, "runs": [asdict(run) for run in runs]}
            write_parts(REPORT, parts)
    show_targets([item for name in options.parts for item in parts[name]["targets"]])


if __name__ == "__main__":
    main()
