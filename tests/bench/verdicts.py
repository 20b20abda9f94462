#!/usr/bin/env python3
"""The shares of good candidates that are rolled back and of bad ones that are found, and the times: ``make
bench-verdicts``.

It runs two families of simulated fleets: of latencies (tests/bench/fleets.py), on which the operator's own judgement is
compared with other rules (tests/bench/rules.py), and of shares that differ (tests/bench/share_fleets.py), on which it
is compared with an oracle. It prints tables and writes build/bench/verdicts.json. ``--quick`` takes five minutes; the
complete run takes about an hour and a half on two processors. The same code gives the same numbers, however the work is
divided.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from tests.bench import share_cells  # noqa: E402 - the path is set now
from tests.bench.fleets import BUSY, CONDITIONS, SILENCE, WEATHER, Condition, with_seed  # noqa: E402
from tests.bench.prerequisites import Prerequisite, require  # noqa: E402
from tests.bench.progress import progress  # noqa: E402
from tests.bench.report import show_targets, write_report  # noqa: E402
from tests.bench.rules import HELD, OTHERS, OURS, ROLLED_BACK, Fault, Run, judged_by_us, others  # noqa: E402

FLEETS = (3, 10, 100)
FAULTS = {
    "1x": Fault(),
    "1.5x": Fault(slower=1.5),
    "2x": Fault(slower=2.0),
    "3x": Fault(slower=3.0),
    "5x": Fault(slower=5.0),
    "5 % errors": Fault(error_rate=0.05),
}
FEW_FAULTS = ("1x", "3x", "5x")
"""The faults in the conditions that the goals do not concern."""
FEW_NODES = 10
"""The largest fleet in those conditions."""
LEAST_RUNS = 500
BATCH = 25
QUICK_RUNS, QUICK_SHARE_RUNS, QUICK_FLEETS = 20, 20, (3, 10)
TOLD = progress()
ALL = {condition.name: condition for condition in (*CONDITIONS, BUSY, WEATHER, SILENCE)}


@dataclass(frozen=True)
class Cell:
    """The results of all runs of one rule, in one condition, with one fault."""

    rule: str
    nodes: int
    condition: str
    fault: str
    runs: int
    rolled_back_percent: float
    held_percent: float
    median_seconds: float | None
    """The median time from the candidate's first request to the rollback; None without a rollback."""
    median_requests: float | None


def batch(nodes: int, condition: Condition, fault: str, numbers: range) -> list[dict[str, Run]]:
    """Returns the result of each fleet by every rule."""
    make = with_seed(condition, nodes)
    return [
        {OURS: judged_by_us(make(number), FAULTS[fault]), **others(make(number), FAULTS[fault])} for number in numbers
    ]


def measure(pool: ProcessPoolExecutor, nodes: int, condition: Condition, fault: str, runs: int) -> list[Cell]:
    """Returns a cell of the table for each rule: its rollbacks in ``runs`` simulated rollouts."""
    jobs = [
        pool.submit(batch, nodes, condition, fault, range(start, min(start + BATCH, runs)))
        for start in range(0, runs, BATCH)
    ]
    found = []
    for number, job in enumerate(jobs):
        found += job.result()
        TOLD.count(f"{nodes} nodes, {condition.name}, {fault}: rollouts", min((number + 1) * BATCH, runs), runs)
    return [_cell(rule, nodes, condition, fault, [run[rule] for run in found]) for rule in (OURS, *OTHERS)]


def _cell(rule: str, nodes: int, condition: Condition, fault: str, found: list[Run]) -> Cell:
    back = [run for run in found if run.outcome == ROLLED_BACK]
    return Cell(
        rule=rule,
        nodes=nodes,
        condition=condition.name,
        fault=fault,
        runs=len(found),
        rolled_back_percent=round(100 * len(back) / len(found), 2),
        held_percent=round(100 * sum(run.outcome == HELD for run in found) / len(found), 2),
        median_seconds=median(run.seconds for run in back) if back else None,
        median_requests=median(run.seen for run in back) if back else None,
    )


def show(nodes: int, condition: Condition, cells: list[Cell]) -> None:
    """Prints the table of one condition."""
    print(f"\n{nodes} nodes, {condition.name}: rolled back, and how long it took in the median", flush=True)
    faults = list(dict.fromkeys(cell.fault for cell in cells))
    print(f"{'':24}" + "".join(f"{fault:>19}" for fault in faults))
    for rule in dict.fromkeys(cell.rule for cell in cells):
        row = f"{rule:24}"
        for fault in faults:
            cell = next(c for c in cells if (c.rule, c.fault) == (rule, fault))
            took = f"{cell.median_seconds:.0f} s" if cell.median_seconds is not None else ""
            row += f"{cell.rolled_back_percent:9.2f} %{took:>8}"
        held = max(cell.held_percent for cell in cells if cell.rule == rule)
        print(row + (f"   held: up to {held:.1f} %" if held else ""), flush=True)


def targets(cells: list[Cell]) -> Iterable[dict[str, Any]]:
    """Yields the targets, from the cells whose conditions the goals concern."""
    core = {condition.name for condition in CONDITIONS}
    mine = [cell for cell in cells if cell.rule == OURS and cell.condition in core]

    def target(name: str, goal: str, value: float, unit: str, holds: bool) -> dict[str, Any]:
        return {"name": name, "goal": goal, "value": value, "unit": unit, "holds": holds}

    fewest = min((c.runs for c in mine), default=0)
    yield target("rollouts in the smallest cell", f">= {LEAST_RUNS}", fewest, "", fewest >= LEAST_RUNS)
    worst = max((c.rolled_back_percent for c in mine if c.fault == "1x"), default=0.0)
    yield target("false rollbacks per rollout, worst cell", "<= 1", worst, "%", worst <= 1)
    hard = [
        c.rolled_back_percent
        for c in cells
        if c.rule == OURS and c.fault == "1x" and c.condition in (BUSY.name, WEATHER.name)
    ]
    hard_worst = max(hard, default=0.0)
    yield target("the same with busy nodes, and with all slow together", "<= 1", hard_worst, "%", hard_worst <= 1)
    moved = max((100 - c.held_percent for c in cells if c.rule == OURS and c.condition == SILENCE.name), default=0.0)
    yield target("rollouts that moved without data, either way", "0", moved, "%", moved == 0)
    for fault, goal in (("5x", 99.0), ("3x", 80.0)):
        least = min((c.rolled_back_percent for c in mine if c.fault == fault), default=0.0)
        yield target(f"{fault} found, worst cell", f">= {goal:g}", least, "%", least >= goal)
    false = {(c.rule, c.nodes, c.condition): c.rolled_back_percent for c in cells if c.fault == "1x"}
    for fault in ("3x", "5x"):
        rivals = [
            (mine_cell, c)
            for mine_cell in cells
            if mine_cell.rule == OURS and mine_cell.fault == fault
            for c in cells
            if (c.nodes, c.condition, c.fault) == (mine_cell.nodes, mine_cell.condition, fault)
            if c.rule != OURS and false[c.rule, c.nodes, c.condition] < 5 and c.median_seconds is not None
        ]
        later = [(mine_cell.median_seconds or 1e6) / c.median_seconds for mine_cell, c in rivals if c.median_seconds]
        name = f"{fault}: time to rollback against the soonest rule with under 5 % false rollbacks"
        # 0 where there is no such rule.
        ratio = round(max(later, default=0.0), 2)
        yield target(name, "< 1 (1: as soon)", ratio, "ratio", ratio < 1)


def prerequisites() -> list[Prerequisite]:
    """Returns none: fleets are simulated."""
    return []


def main() -> None:
    """Simulates the rollouts of all conditions, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=LEAST_RUNS, help="rollouts a cell of the first family")
    parser.add_argument("--share-runs", type=int, default=LEAST_RUNS, help="rollouts a cell of the second family")
    parser.add_argument("--nodes", type=int, nargs="*", default=FLEETS, help="sizes of fleets of the first family")
    parser.add_argument("--conditions", nargs="*", default=list(ALL), choices=list(ALL), help="what those meet")
    parser.add_argument("--families", type=int, nargs="*", default=(1, 2), choices=(1, 2), help="which families")
    parser.add_argument("--quick", action="store_true", help="few rollouts, in five minutes")
    options = parser.parse_args()
    require(prerequisites())
    if options.quick:
        options.runs, options.share_runs, options.nodes = QUICK_RUNS, QUICK_SHARE_RUNS, QUICK_FLEETS
    report = Report(time.monotonic())
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        if 1 in options.families:
            latencies(pool, options, report)
        if 2 in options.families:
            shares(pool, options, report)
    report.show()


def latencies(pool: ProcessPoolExecutor, options: argparse.Namespace, report: "Report") -> None:
    """Runs the first family."""
    for nodes in options.nodes:
        for condition in map(ALL.__getitem__, options.conditions):
            if nodes > FEW_NODES and condition not in CONDITIONS:
                continue
            # A fault that nobody sees makes no difference.
            faults = FAULTS if condition in CONDITIONS else FEW_FAULTS[: 1 if condition is SILENCE else None]
            here = [cell for fault in faults for cell in measure(pool, nodes, condition, fault, options.runs)]
            show(nodes, condition, here)
            report.cells += here
            report.write()


def shares(pool: ProcessPoolExecutor, options: argparse.Namespace, report: "Report") -> None:
    """Runs the second family."""
    print(f"\n{share_cells.HEADER}")
    results = share_cells.measure(pool, options.share_runs)
    for mine, of_oracle in zip(results, results, strict=True):
        share_cells.show(mine, of_oracle)
        report.results += [mine, of_oracle]
        report.write()


@dataclass
class Report:
    """The results so far."""

    started: float
    cells: list[Cell] = field(default_factory=list)
    results: list[share_cells.Result] = field(default_factory=list)

    @property
    def targets(self) -> list[dict[str, Any]]:
        """The targets of both families, with what was reached."""
        first = list(targets(self.cells)) if self.cells else []
        return first + (list(share_cells.targets(self.results)) if self.results else [])

    def show(self) -> None:
        """Prints the targets, and how long all took."""
        show_targets(self.targets)
        rollouts = sum(item.runs for item in (*self.cells, *self.results))
        print(f"{rollouts} rollouts, {time.monotonic() - self.started:.0f} s")

    def write(self) -> None:
        """Writes the results, after every condition, because a run takes long."""
        took = f"{time.monotonic() - self.started:.0f} s"
        machine = f"{platform.machine()}, {os.cpu_count()} processors, simulated fleets, {took}"
        runs = [asdict(item) for item in (*self.cells, *self.results)]
        write_report("verdicts", self.targets, machine, runs)


if __name__ == "__main__":
    main()
