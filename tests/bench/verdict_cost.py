#!/usr/bin/env python3
"""The cost of judging a wave, in milliseconds of the operator's processor time a pass, by the number of nodes.

Three in ten nodes are on trial, the others run stable; both default checks judge, by 20 requests a node in 15 s. In the
second table one node in ten on stable breaks for itself, so that the drift is computed again and again without some. It
prints tables and writes build/bench/verdict-cost.json, in about a minute.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from edge_operator.decide.analysis import OnTrial, WaveBaseline, judge  # noqa: E402 - the path is set now
from tests.bench.prerequisites import Prerequisite, require  # noqa: E402
from tests.bench.report import show_targets, write_report  # noqa: E402
from tests.bench.rules import EPOCH  # noqa: E402
from tests.bench.share_cells import TABLE, analysis  # noqa: E402
from tests.bench.share_fleets import BEFORE, Fleet, fleet  # noqa: E402
from tests.bench.share_rules import CANDIDATE, before_switch, names_of, samples_at  # noqa: E402

NODES = (10, 50, 500, 5000)
TICKS = 40
"""The ticks since the switch."""
REPEATED = 5
MAX_MILLISECONDS = 2000.0
"""The target for the largest fleet: a pass comes every 15 s."""
MAX_GROWTH = 1.5
"""The target for the largest fleet's time a node, in multiples of that of a tenth of it: 1 is linear."""
USUAL, BROKEN = "all alike", "one in ten of stable breaks"


@dataclass(frozen=True)
class Cost:
    """The time of one judgement, the shortest of REPEATED: of a pass that is not the first of its wave."""

    case: str
    nodes: int
    milliseconds: float

    @property
    def microseconds_a_node(self) -> float:
        """Returns the time divided by the number of nodes."""
        return 1000 * self.milliseconds / self.nodes


def with_broken(made: Fleet) -> Fleet:
    """Returns the fleet in which half of the requests fail, from the switch on, on one node in ten that runs stable."""
    seen, first = made.seen.copy(), made.cell.canaries
    since = seen[0, first::10, BEFORE:] - seen[0, first::10, BEFORE - 1 : BEFORE]
    seen[2, first::10, BEFORE:] = seen[2, first::10, BEFORE - 1 : BEFORE] + since // 2
    seen[1, first::10, BEFORE:] = seen[1, first::10, BEFORE - 1 : BEFORE]
    return replace(made, seen=seen)


def measure(case: str, made: Fleet) -> Cost:
    """Returns what one judgement of the fleet costs."""
    names, checks = names_of(made), analysis()
    on_trial = tuple(OnTrial(name, "default", EPOCH) for name in names[: made.cell.canaries])
    samples = samples_at(made, before_switch(made), BEFORE + TICKS)
    baseline, variants = WaveBaseline.begin(checks, 1, EPOCH), dict.fromkeys(names, "default")
    took = []
    for _ in range(REPEATED):
        begin = time.process_time()
        judged = judge(checks, samples, baseline, CANDIDATE, on_trial, variants, False, samples.measured_at)
        took.append(time.process_time() - begin)
        assert all(item.sample_count for item in judged.judged)
    return Cost(case, made.cell.nodes, round(1000 * min(took), 2))


def targets(costs: Iterable[Cost]) -> Iterable[dict[str, Any]]:
    """Yields the targets."""
    by_size = {(cost.case, cost.nodes): cost for cost in costs}
    for case in (USUAL, BROKEN):
        largest, tenth = by_size[case, NODES[-1]], by_size[case, NODES[-2]]
        growth = round(largest.microseconds_a_node / tenth.microseconds_a_node, 2)
        for name, goal, value, unit in (
            (f"judging {largest.nodes} nodes, {case}", MAX_MILLISECONDS, largest.milliseconds, "ms"),
            (f"time a node at {largest.nodes} against {tenth.nodes}, {case}", MAX_GROWTH, growth, "ratio"),
        ):
            yield {"name": name, "goal": f"<= {goal:g}", "value": value, "unit": unit, "holds": value <= goal}


def prerequisites() -> list[Prerequisite]:
    """Returns none: fleets are simulated."""
    return []


def main() -> None:
    """Measures the judgements and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    require(prerequisites())
    costs = []
    for case in (USUAL, BROKEN):
        print(f"\n{case}\n{'nodes':>8}{'ms a pass':>12}{'us a node':>12}")
        for nodes in NODES:
            made = fleet(replace(TABLE, nodes=nodes), 0)
            cost = measure(case, with_broken(made) if case == BROKEN else made)
            costs.append(cost)
            print(f"{nodes:8}{cost.milliseconds:12.1f}{cost.microseconds_a_node:12.0f}", flush=True)
    goals = list(targets(costs))
    show_targets(goals)
    machine = f"{platform.machine()}, {os.cpu_count()} processors, simulated fleets"
    write_report("verdict-cost", goals, machine, [asdict(cost) for cost in costs])


if __name__ == "__main__":
    main()
