"""Termination messages of Jobs and servers, and reports of steps: anybody may have written them, and they end no
pass."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from edge_operator.decide import decide
from edge_operator.decide.observation import Observation
from edge_operator.from_api import read_server_pod
from edge_operator.writes import plan_writes
from edgemodel import preflight_report, reasons, report, serving
from edgemodel.progress import StepBegun
from edgemodel.status import parse_status, status_to_json
from tests.support.bad_input import damaged, mutated, wrongly_encoded
from tests.support.bad_input_runs import Tries, share
from tests.support.simulation import Simulation, measured
from tests.unit.bad_input.test_operator import objects
from tests.unit.edge_operator.test_preflight import fleet, until_preflight
from tests.unit.edge_operator.test_rollout_properties import VALIDATOR

READ: Final = 0
NOT_READ: Final = 3
NUMBERS: Final = ("NaN", "-Infinity", "1e400", "-1", "0", "ten", "", "1" * 5000, "\u0663", r"\ud800")


def messages(good: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    """Yields damaged, wrongly encoded and wrongly typed versions of a termination message."""
    value = json.loads(good)
    yield from ((about, json.dumps(odd).encode()) for about, odd in mutated(value, 250, seed))
    yield from damaged(good, 60, seed)
    yield from wrongly_encoded(good.decode())
    for number in NUMBERS:
        for key in ("p50_milliseconds", "min_percent", "accuracy", "sizeBytes", "agree", "items", "runs", "message"):
            odd = good.decode().replace(f'"{key}":', f'"{key}":{json.dumps(number)},"x":')
            yield f"{key} = {number[:9]!r}", odd.encode()


def passes(seen: Observation, world: Simulation) -> None:
    """Makes two passes, the second on what the first one stored; each has to give a status that can be stored."""
    for _ in range(2):
        decision = decide(seen, world.now)
        status = status_to_json(decision.status)
        json.dumps(status, allow_nan=False, ensure_ascii=False).encode()
        VALIDATOR.validate({key: value for key, value in status.items() if value is not None})
        plan_writes(seen, decision, world.now)
        stored = {key: value for key, value in status.items() if value is not None}
        seen = replace(seen, status=parse_status(stored), stored_status=stored)


def tried(entry_point: str, good: bytes, read: Callable[[bytes], bool]) -> None:
    tries = Tries(entry_point, (READ, NOT_READ))

    def main(data: bytes) -> int:
        if read(data):
            return READ
        print("the message holds no report")
        return NOT_READ

    assert main(good) == READ
    for about, data in share(messages(good, entry_point)):
        tries.call(about, lambda data=data: main(data))  # type: ignore[misc]
    tries.judge(300)


def test_reports_of_preflight_jobs() -> None:
    world = fleet()
    until_preflight(world)
    seen = world.observe()
    (job,) = seen.preflights

    def read(data: bytes) -> bool:
        told = preflight_report.decode(data.decode(errors="replace"))
        ended = replace(job, ended=world.now, report=told)
        passes(replace(seen, preflights=(ended,)), world)
        return told is not None

    tried("operator: reports of preflights", preflight_report.encode(measured()), read)


def test_reports_of_compression_jobs() -> None:
    world = Simulation.with_nodes(2)
    for _ in range(100):
        world.run(1)
        done = [job for job in world.jobs.values() if job.report is not None]
        if done:
            break
    seen = world.observe()
    (job,) = done
    assert job.report is not None

    def read(data: bytes) -> bool:
        told = report.decode(data.decode(errors="replace"))
        ended = replace(job, ended=world.now, report=told)
        passes(replace(seen, jobs=(ended,), revisions=()), world)
        return told is not None

    tried("operator: reports of compression Jobs", report.encode(job.report), read)


def test_endings_of_servers() -> None:
    world = Simulation.with_nodes(2)
    world.run(300)
    seen = world.observe()
    pod = objects()["Pod"]
    (status,) = pod["status"]["containerStatuses"]

    def read(data: bytes) -> bool:
        terminated: dict[str, Any] = {"exitCode": 3, "message": data.decode(errors="replace")}
        pod["status"]["containerStatuses"] = [{**status, "state": {"terminated": terminated}}]
        trouble = read_server_pod(pod).trouble
        assert trouble is not None
        assert trouble[0] in reasons.REASONS
        sick = tuple(replace(one, ready=False, trouble=trouble, unready_since=world.now) for one in seen.pods)
        passes(replace(seen, pods=sick), world)
        return trouble[0] == reasons.GOLDEN_MISMATCH

    tried("operator: endings of servers", serving.ending(reasons.GOLDEN_MISMATCH, "90 % agree"), read)


def test_reports_of_steps() -> None:
    def read(data: bytes) -> bool:
        try:
            StepBegun.decode(data)
        except ValueError:
            return False
        return True

    tried("operator: reports of steps", StepBegun("recover", "Distill", 2, 4).encode(), read)
