"""The order of a pass's writes, which the simulation shares with the operator."""

import itertools
from datetime import timedelta

import pytest

from edge_operator.decide.actions import DeleteDaemonSet, DeleteJob, DeleteRevision, RecordPreflight, RecordVerdict
from edge_operator.writes import (
    ApplyObject,
    CreateObject,
    CreateReplaySecret,
    DeleteObject,
    PatchNode,
    TellEvent,
    Write,
    WriteRevisionStatus,
    WriteStatus,
    _linked,
    plan_writes,
)
from edgemodel import reasons
from edgemodel.status import MAX_MESSAGE_LENGTH
from edgemodel.version import VERSION
from tests.support.simulation import Simulation, model_spec

pytestmark = pytest.mark.slow


def place(write: Write) -> int:
    """Returns the position of a write in a pass."""
    match write:
        case TellEvent():
            return 0
        case WriteStatus():
            return 1
        case CreateObject() | CreateReplaySecret() | ApplyObject():
            return 2
        case WriteRevisionStatus(action=RecordPreflight()) | DeleteObject(action=DeleteJob()):
            return 2
        case PatchNode():
            return 3
        case WriteRevisionStatus(action=RecordVerdict()) | DeleteObject(action=DeleteDaemonSet() | DeleteRevision()):
            return 4
    raise AssertionError(write)


def passes(world: Simulation, count: int) -> list[list[Write]]:
    """Returns the writes of the next ``count`` passes, a second apart, that write anything."""
    found = []
    for _ in range(count):
        decision = world.decide()
        found.append(list(plan_writes(world.seen, decision, world.now)))
        world.carry_out(decision)
        world.react()
        world.now += timedelta(seconds=1)
    return [writes for writes in found if writes]


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_event_and_status_come_first_then_objects_then_pins_then_records_and_garbage(strategy: str) -> None:
    world = Simulation.with_nodes(3, spec=model_spec(serving={"strategy": strategy}, revisionHistoryLimit=1))
    found = passes(world, 220)
    for letter in "bcd":
        world.new_source(letter)
        found += passes(world, 220)
    world.new_source("e")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    found += passes(world, 100)
    for writes in found:
        places = [place(write) for write in writes]
        assert places == sorted(places)
        assert places.count(0) <= 1
        assert places.count(1) <= 1
    assert {place(write) for write in itertools.chain(*found)} == {0, 1, 2, 3, 4}
    both = [writes for writes in found if {3, 4} <= {place(write) for write in writes}]
    assert both, "no pass set pins and recorded a verdict"


def test_nothing_is_written_where_nothing_has_changed() -> None:
    world = Simulation.with_nodes(2)
    world.run(400)
    assert passes(world, 5) == []


def test_the_status_says_which_operator_wrote_it_and_an_upgrade_alone_writes_nothing() -> None:
    world = Simulation.with_nodes(2)
    world.run(400)
    assert world.status["operatorVersion"] == VERSION
    world.status["operatorVersion"] = "0.0.1"
    assert passes(world, 5) == []
    world.new_source("b")
    passes(world, 1)
    assert world.status["operatorVersion"] == VERSION


def test_a_changed_service_is_applied_again_and_only_it() -> None:
    world = Simulation.with_nodes(2)
    world.run(400)
    del world.applied["Service", "m"]
    (writes,) = passes(world, 3)
    assert [type(write) for write in writes] == [ApplyObject]
    assert ("Service", "m") in world.applied


def test_the_replay_secret_is_there_before_the_servers_that_read_it() -> None:
    world = Simulation.with_nodes(1, spec=model_spec(serving={"shadowReplay": {"maxRequests": 8}}))
    writes = list(itertools.chain(*passes(world, 200)))
    secret = next(number for number, write in enumerate(writes) if isinstance(write, CreateReplaySecret))
    servers = [
        number
        for number, write in enumerate(writes)
        if isinstance(write, CreateObject) and write.body["kind"] == "DaemonSet"
    ]
    assert servers
    assert secret < min(servers)


def test_a_condition_and_an_event_that_ask_a_person_link_to_the_reason() -> None:
    page = "https://docs.example/reasons.html"
    world = Simulation.with_nodes(1, spec=model_spec())
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    for _ in range(200):
        decision = world.decide()
        writes = plan_writes(world.seen, decision, world.now, page)
        events = [write.event for write in writes if isinstance(write, TellEvent)]
        if any(event["reason"] == reasons.ROLLED_BACK for event in events):
            break
        world.carry_out(decision)
        world.react()
        world.now += timedelta(seconds=1)
    (event,) = events
    (status,) = [write.status for write in writes if isinstance(write, WriteStatus)]
    told = {item["type"]: item["message"] for item in status["conditions"]}
    assert event["message"] == told["Stalled"] == f"{told['Ready']} ({page}#rolledback)"
    assert "https" not in "".join(message for kind, message in told.items() if kind != "Stalled")


def test_a_link_is_never_cut_off() -> None:
    linked = _linked("x" * MAX_MESSAGE_LENGTH, reasons.PAUSED, "https://docs.example/reasons.html")
    assert len(linked) == MAX_MESSAGE_LENGTH
    assert linked.endswith("#paused)")
    assert _linked("why", reasons.PAUSED, "") == "why"
