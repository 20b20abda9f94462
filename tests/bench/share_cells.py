"""The conditions of the second family, one factor at a time around one cell, and seeded mixes; tables and targets."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from statistics import median
from typing import Any

from edgemodel.analysis import Analysis, parse_analysis
from tests.bench.rules import HELD, PROMOTED, ROLLED_BACK, Run
from tests.bench.share_fleets import Cell, fleet
from tests.bench.share_rules import OBJECTIVE, oracle, ours

OURS, ORACLE = "ours", "oracle"
LIMIT = 0.01
"""The increase that is too much, the default of both checks."""
TABLE = Cell("table")
FACTORS: dict[str, dict[str, Any]] = {
    "rates differ by 10": {"spread": 10.0},
    "rates alike": {"spread": 1.0},
    "bad ones together": {"clumped": 0.5},
    "no bursts": {"burst": 0.0},
    "longer bursts": {"burst": 3.0},
    "even traffic": {"zipf": 0.0},
    "a day's swing": {"diurnal": 0.3},
    "2 % of scrapes missing": {"missing": 0.02},
    "15 % of scrapes missing": {"missing": 0.15},
    "0.4 % restarts": {"restarts": 0.004},
    "3 % restarts": {"restarts": 0.03},
    "warm-up": {"warm_up": 10.0},
    "all miss 2 x": {"weather": 2.0},
    "all miss 3 x": {"weather": 3.0},
    "2 requests": {"requests": 2.0},
    "200 requests": {"requests": 200.0},
    "4 nodes": {"nodes": 4},
    "100 nodes": {"nodes": 100},
}
FAULTS: dict[str, dict[str, float]] = {
    "good": {},
    "misses x 2": {"misses": 2.0},
    "misses x 3": {"misses": 3.0},
    "misses x 5": {"misses": 5.0},
    "misses x 10": {"misses": 10.0},
    "errors x 2": {"errors": 2.0},
    "errors x 3": {"errors": 3.0},
    "errors x 5": {"errors": 5.0},
    "errors x 10": {"errors": 10.0},
}
FEW_FAULTS = ("good", "misses x 3", "misses x 5", "errors x 5", "errors x 10")
"""The faults in the conditions around the table's cell."""
MIXES = 30
GOALS = {"misses x 3": 80.0, "misses x 5": 99.0, "errors x 5": 95.0, "errors x 10": 99.0}
"""The least share, in percent, that must be found in the table's cell."""
BATCH = 25


@dataclass(frozen=True)
class Result:
    """The results of all runs of one rule in one cell; shares in percent."""

    rule: str
    condition: str
    fault: str
    runs: int
    increase_points: float
    """The increase of the candidate's share on average over all fleets, in percentage points."""
    rolled_back_percent: float
    promoted_percent: float
    held_percent: float
    median_seconds: float | None
    faults: int
    """The runs in which the true increase on the nodes on trial exceeds the limit."""
    found_percent: float | None
    """The share of these that were rolled back; None without any."""


def cells(mixes: int = MIXES) -> list[tuple[str, Cell]]:
    """Returns the (fault, cell) of every cell."""
    found = [(fault, replace(TABLE, **changes)) for fault, changes in FAULTS.items()]
    for name, factor in FACTORS.items():
        found += [(fault, replace(TABLE, name=name, **factor, **FAULTS[fault])) for fault in FEW_FAULTS]
    return found + [mix(number) for number in range(mixes)]


def mix(number: int) -> tuple[str, Cell]:
    """Returns a cell in which each factor but the sizes is present by chance, always the same one."""
    random = Random(f"mix {number}")
    changes: dict[str, Any] = {}
    for factor in FACTORS.values():
        if random.random() < 0.3 and "nodes" not in factor:
            changes |= factor
    changes["nodes"] = random.choice((4, 10, 10, 20))
    fault = random.choice(FEW_FAULTS)
    return fault, replace(TABLE, name=f"mix {number}", **changes, **FAULTS[fault])


def analysis() -> Analysis:
    """Returns the checks that judge: errors, and the latency objective."""
    latency = {"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": round(1000 * OBJECTIVE)}}
    return parse_analysis({"checks": [{"name": "errors", "type": "ErrorRate"}, latency]})


def batch(cell: Cell, numbers: range) -> list[tuple[Run, Run, bool]]:
    """Returns the (own, oracle's) result of each fleet, and whether the true increase exceeds the limit."""
    rule = partial(ours, analysis=analysis())
    fleets = (fleet(cell, number) for number in numbers)
    return [(rule(one), oracle(one), one.increase > LIMIT) for one in fleets]


def measure(pool: ProcessPoolExecutor, runs: int, mixes: int = MIXES) -> Iterator[Result]:
    """Yields the results of both rules, cell by cell."""
    jobs = [
        (fault, cell, [pool.submit(batch, cell, range(at, min(at + BATCH, runs))) for at in range(0, runs, BATCH)])
        for fault, cell in cells(mixes)
    ]
    for fault, cell, parts in jobs:
        found = [pair for part in parts for pair in part.result()]
        beyond = [item[2] for item in found]
        yield _result(OURS, fault, cell, [item[0] for item in found], beyond)
        yield _result(ORACLE, fault, cell, [item[1] for item in found], beyond)


def _result(rule: str, fault: str, cell: Cell, found: Sequence[Run], beyond: Sequence[bool]) -> Result:
    outcomes = Counter(run.outcome for run in found)
    back = [run.seconds for run in found if run.outcome == ROLLED_BACK]
    faults = [run.outcome == ROLLED_BACK for run, is_fault in zip(found, beyond, strict=True) if is_fault]

    def percent(outcome: str) -> float:
        return round(100 * outcomes[outcome] / len(found), 2)

    return Result(
        rule,
        cell.name,
        fault,
        len(found),
        round(100 * cell.increase, 2),
        percent(ROLLED_BACK),
        percent(PROMOTED),
        percent(HELD),
        median(back) if back else None,
        len(faults),
        round(100 * sum(faults) / len(faults), 2) if faults else None,
    )


def show(result: Result, of_oracle: Result) -> None:
    """Prints one line of the table."""
    took = f"{result.median_seconds:.0f} s" if result.median_seconds is not None else ""
    ours, its = (f"{one.found_percent:.1f} %" if one.found_percent is not None else "" for one in (result, of_oracle))
    print(
        f"{result.condition:26}{result.fault:13}{result.increase_points:6.2f}{result.rolled_back_percent:10.1f} %"
        f"{result.promoted_percent:8.1f} %{result.held_percent:8.1f} %{took:>8}"
        f"{of_oracle.rolled_back_percent:10.1f} %{result.faults:7}{ours:>9}{its:>9}",
        flush=True,
    )


HEADER = (
    f"{'condition':26}{'fault':13}{'points':>6}{'rolled back':>12}{'promoted':>10}{'held':>10}{'median':>8}"
    f"{'oracle':>12}{'faults':>7}{'found':>9}{'oracle':>9}"
)


def targets(results: Sequence[Result]) -> Iterable[dict[str, Any]]:
    """Yields the targets of the second family."""
    mine = [result for result in results if result.rule == OURS]
    theirs = {(result.condition, result.fault): result for result in results if result.rule == ORACLE}

    def target(name: str, goal: str, value: float, unit: str, holds: bool) -> dict[str, Any]:
        return {"name": name, "goal": goal, "value": round(value, 2), "unit": unit, "holds": holds}

    fewest = min((result.runs for result in mine), default=0)
    yield target("second family: rollouts in the smallest cell", ">= 500", fewest, "", fewest >= 500)
    good = [result for result in mine if result.increase_points == 0]
    back = sum(round(result.rolled_back_percent * result.runs / 100) for result in good)
    upper = 100 * _upper_95(back, sum(result.runs for result in good))
    yield target("good candidates rolled back, upper 95 % bound over all cells", "<= 1", upper, "%", upper <= 1)
    worst = max((result.rolled_back_percent for result in good), default=0.0)
    yield target("good candidates rolled back, worst cell", "<= 2.5", worst, "%", worst <= 2.5)
    below = [result for result in mine if 0 < result.increase_points < 100 * LIMIT]
    most = max((result.rolled_back_percent for result in below), default=0.0)
    yield target("worse by less than the limit, rolled back, worst cell", "<= 2.5", most, "%", most <= 2.5)
    for fault, goal in GOALS.items():
        found = next((r for r in mine if (r.condition, r.fault) == (TABLE.name, fault)), None)
        if found is not None and found.found_percent is not None:
            value = found.found_percent
            yield target(f"{fault} found in the table's cell", f">= {goal:g}", value, "%", value >= goal)
    shares = {
        (result.condition, result.fault): result.found_percent / by_oracle
        for result in mine
        if result.increase_points > 100 * LIMIT and result.found_percent is not None
        if (by_oracle := theirs[result.condition, result.fault].found_percent or 0) >= 90
    }
    if shares:
        where = min(shares, key=shares.__getitem__)
        name = f"found, of what the oracle finds; least in: {', '.join(where)}"
        yield target(name, ">= 0.7", shares[where], "ratio", shares[where] >= 0.7)


def _upper_95(count: int, total: int) -> float:
    """Returns the upper end of the one-sided 95 % interval of a share (Clopper and Pearson)."""
    from scipy.stats import beta

    return float(beta.ppf(0.95, count + 1, total - count)) if total > count else 1.0
