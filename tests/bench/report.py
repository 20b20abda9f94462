"""The figures of a benchmark: the targets as a table, and all of it in a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench"
COLUMNS = ("name", "value", "unit", "goal")


def show_targets(targets: Sequence[Mapping[str, Any]]) -> None:
    """Prints a line for each target, which has a name, a goal, a value, a unit, and whether it holds; and mostly an
    interval."""
    widths = [max((len(str(item[column])) for item in targets), default=0) for column in COLUMNS]
    print()
    for item in targets:
        name, value, unit, goal = (str(item[column]) for column in COLUMNS)
        cells = name.ljust(widths[0]), value.rjust(widths[1]), unit.ljust(widths[2]), goal.rjust(widths[3])
        interval = "  ({} to {})".format(*item["interval"]) if "interval" in item else ""
        print("  ".join((*cells, "holds" if item["holds"] else "missed")) + interval, flush=True)


def write_report(name: str, targets: Sequence[Mapping[str, Any]], machine: str, runs: Sequence[Any]) -> None:
    """Writes build/bench/NAME.json."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    report = {"targets": targets, "machine": machine, "runs": runs}
    (FOLDER / f"{name}.json").write_text(json.dumps(report, indent=1))
