"""A candidate that would break the callers of stable reaches no node until the spec accepts its signature."""

import pytest

from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.caller_signature import CallerSignature
from tests.support.simulation import Simulation

pytestmark = pytest.mark.slow

Y = Tensor("y", "FP32", (-1, 3))
FOUR = CallerSignature.of([Tensor("x", "FP32", (-1, 4))], [Y])
FIVE = CallerSignature.of([Tensor("x", "FP32", (-1, 5))], [Y])
WIDER = CallerSignature.of([Tensor("x", "FP32", (-1, -1))], [Y, Tensor("z", "FP32", (-1, 2))])


def serving(signature: CallerSignature | None) -> Simulation:
    world = Simulation.with_nodes(3, signature=signature)
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    return world


def go_on(world: Simulation, signature: CallerSignature | None, seconds: int = 400) -> None:
    """Applies a new source with this signature."""
    world.signature = signature
    world.new_source("b")
    world.run(seconds)


def test_nothing_switches_and_the_message_names_the_change_and_the_hash() -> None:
    world = serving(FOUR)
    stable, pins = world.status["stableRevision"], len(world.pin_log)
    go_on(world, FIVE)
    assert world.ready_reason() == reasons.SIGNATURE_CHANGED
    (stalled,) = [c for c in world.status["conditions"] if c["type"] == "Stalled"]
    assert stalled["status"] == "True"
    assert stalled["message"] == (
        f"{world.target()} would break callers of {stable}, which serves on: "
        "input 'x' has shape [N, 5] now, and had [N, 4]. "
        f"Change the model, or accept it: spec.rollout.acceptSignature: {FIVE.hash}"
    )
    assert len(world.pin_log) == pins
    assert world.status["stableRevision"] == stable
    assert not world.status.get("rejectedRevisions")


def test_it_rolls_out_once_the_spec_accepts_the_signature() -> None:
    world = serving(FOUR)
    go_on(world, FIVE)
    world.change(rollout={**world.spec["rollout"], "acceptSignature": FIVE.hash})
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_another_signature_than_the_accepted_one_is_not_accepted() -> None:
    world = serving(FOUR)
    world.change(rollout={**world.spec["rollout"], "acceptSignature": WIDER.hash})
    go_on(world, FIVE)
    assert world.ready_reason() == reasons.SIGNATURE_CHANGED


def test_the_candidate_is_compared_with_stable_and_not_with_the_candidate_before() -> None:
    world = serving(FOUR)
    go_on(world, FIVE)
    world.signature = FOUR
    world.new_source("c")
    world.run(400)
    assert world.ready_reason() == reasons.SERVING


def test_what_callers_do_not_notice_rolls_out_by_itself() -> None:
    world = serving(FOUR)
    go_on(world, WIDER)
    assert world.ready_reason() == reasons.SERVING


def test_a_revision_of_an_earlier_operator_keeps_nothing_from_rolling_out() -> None:
    world = serving(None)
    go_on(world, FIVE)
    assert world.ready_reason() == reasons.SERVING


def test_other_serving_settings_of_the_same_model_keep_its_signature() -> None:
    world = serving(FOUR)
    world.change(serving={"port": 9000})
    world.run(400)
    go_on(world, FIVE)
    assert world.ready_reason() == reasons.SIGNATURE_CHANGED
