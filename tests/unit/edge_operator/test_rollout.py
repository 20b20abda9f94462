"""The rules of a rollout, each as a sentence, on a simulated fleet."""

from dataclasses import replace

import pytest

from edgemodel import reasons
from edgemodel.report import Failed
from edgemodel.verdict import Verdict
from tests.support.simulation import Simulation, built_once, model_spec


@built_once
def installed(nodes: int = 3, **fields: object) -> Simulation:
    """Returns a fleet on its first stable revision."""
    world = Simulation.with_nodes(nodes, **fields)
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    return world


def test_a_first_install_obeys_waves() -> None:
    world = Simulation.with_nodes(3)
    world.run(40)
    assert sum(bool(world.runs(node)) for node in world.nodes) == 1
    world.run(300)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert world.status["stableRevision"] == world.target()


def test_stable_moves_only_after_all_waves_and_the_bake() -> None:
    world = installed()
    before = world.status["stableRevision"]
    world.new_source("b")
    for _ in range(300):
        world.step()
        world.now += world.now.resolution * 1_000_000
        if world.status["stableRevision"] != before:
            break
        everywhere = all(world.runs(node) == {world.target()} for node in world.nodes)
        if everywhere:
            assert world.ready_reason() in {reasons.ROLLING_OUT, reasons.BAKING}
    assert world.status["stableRevision"] == world.target()
    reasons_seen = {c["reason"] for status in world.history for c in status["conditions"] if c["type"] == "Ready"}
    assert {reasons.COMPRESSING, reasons.ROLLING_OUT, reasons.SOAKING, reasons.BAKING, reasons.SERVING} <= reasons_seen


def test_another_pull_secret_is_rolled_out_with_the_same_artifacts() -> None:
    world = installed()
    before = world.status["stableRevision"]
    started = list(world.jobs_started)
    world.change(imagePullSecrets=[{"name": "mirror"}])
    world.run(400)
    after = world.status["stableRevision"]
    assert (after, world.jobs_started) == (world.target(), started)
    assert after != before
    assert world.revisions[after].spec.variants == world.revisions[before].spec.variants


def test_other_limits_of_a_generator_are_rolled_out_with_the_same_artifacts() -> None:
    world = installed()
    before = world.status["stableRevision"]
    started = list(world.jobs_started)
    world.change(serving={"generate": {"contextTokens": 4096, "sequences": 4}})
    world.run(400)
    after = world.status["stableRevision"]
    assert (after, world.jobs_started) == (world.target(), started)
    assert after != before
    assert world.revisions[after].spec.variants == world.revisions[before].spec.variants


def test_a_pull_secret_cures_a_rejected_candidate_without_a_retry_token() -> None:
    world = installed()
    world.new_source("b")
    world.trouble[world.target()] = (reasons.IMAGE_PULL_FAILED, "ErrImagePull: 401 Unauthorized")
    world.run(400)
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.IMAGE_PULL_FAILED
    world.change(imagePullSecrets=[{"name": "mirror"}])
    world.run(400)
    assert world.status["stableRevision"] == world.target()


def test_a_wave_soaks_before_the_next_begins() -> None:
    world = installed()
    world.new_source("b")
    world.run(20 + 5 + 25)
    assert sum(world.target() in world.pinned(node) for node in world.nodes) == 1
    world.run(20)
    assert all(world.target() in world.pinned(node) for node in world.nodes)


def test_with_surge_a_node_always_serves_something() -> None:
    world = installed()
    world.new_source("b")
    for _ in range(300):
        world.step()
        world.now += world.now.resolution * 1_000_000
        assert all(world.runs(node) for node in world.nodes)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_with_recreate_the_image_is_pulled_first_and_the_pins_change_places_in_one_patch() -> None:
    world = installed(spec=model_spec(serving={"strategy": "Recreate"}))
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.run(23)
    (pull,) = [patch for patch in world.pin_log[3:] if patch.add]
    assert not pull.remove
    assert all(world.runs(node) == {stable} for node in world.nodes)
    world.run(300)
    swaps = [patch for patch in world.pin_log if patch.remove]
    assert len(swaps) == 3
    assert all(len(patch.add) == 1 and len(patch.remove) == 2 for patch in swaps)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert all(len(node.pins) == 1 for node in world.nodes.values())


def test_an_image_that_a_puller_cannot_get_is_rolled_back_and_the_old_pod_never_stopped() -> None:
    world = installed(spec=model_spec(serving={"strategy": "Recreate"}))
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.trouble[world.target()] = (reasons.IMAGE_PULL_FAILED, "ErrImagePull: not found")
    for _ in range(200):
        world.step()
        world.now += world.now.resolution * 1_000_000
        assert all(world.runs(node) == {stable} for node in world.nodes)
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.IMAGE_PULL_FAILED
    assert all(len(node.pins) == 1 for node in world.nodes.values())


def test_a_superseded_recreate_leaves_no_puller_behind() -> None:
    world = installed(spec=model_spec(serving={"strategy": "Recreate"}))
    world.new_source("b")
    world.run(22)
    world.new_source("c")
    world.run(300)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert all(len(node.pins) == 1 for node in world.nodes.values())


def test_an_offline_node_neither_blocks_nor_fails_the_candidate() -> None:
    world = installed()
    world.cut("camera-2")
    world.new_source("b")
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    assert world.status["stableRevision"] == world.target()
    pending = world.condition("NodesPending")
    assert pending is not None
    assert "camera-2" in pending["message"]
    assert world.target() not in world.pinned("camera-2")


def test_a_deferred_node_catches_up_after_promotion() -> None:
    world = installed()
    world.cut("camera-2")
    world.new_source("b")
    world.run(400)
    world.join("camera-2")
    world.run(120)
    assert world.runs("camera-2") == {world.target()}
    assert world.condition("NodesPending") is None


def test_a_node_lost_after_its_switch_counts_as_failed() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.run(30)
    (first,) = [node for node in world.nodes if world.target() in world.pinned(node)]
    world.cut(first)
    world.run(110)
    assert not world.status["rejectedRevisions"]
    assert sum(world.target() in world.pinned(node) for node in world.nodes) == 1
    world.run(15)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.NODE_LOST
    assert world.status["stableRevision"] == stable
    assert world.pinned(first) == {stable}


def test_a_switched_node_that_drops_off_the_network_briefly_does_not_fail() -> None:
    """The API server, too, may have been away, and then reports every node as lost until it hears from it again."""
    world = installed()
    world.new_source("b")
    world.run(30)
    for node in world.nodes:
        world.cut(node)
    world.run(60)
    for node in world.nodes:
        world.join(node)
    world.run(300)
    assert not world.status["rejectedRevisions"]
    assert world.status["stableRevision"] == world.target()


def test_a_candidate_that_crashes_is_rolled_back_and_stable_is_untouched() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.trouble[world.target()] = (reasons.CRASH_LOOP, "the server ended 3 times")
    world.run(60)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.ROLLED_BACK
    assert "the server ended 3 times" in stalled["message"]
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.CRASH_LOOP
    assert all(world.runs(node) == {stable} for node in world.nodes)
    assert all(world.pinned(node) == {stable} for node in world.nodes)


def test_a_golden_mismatch_fails_the_node_at_once() -> None:
    world = installed()
    world.new_source("b")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)")
    world.run(20 + 4)
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.GOLDEN_MISMATCH


def test_an_image_that_cannot_be_pulled_is_given_until_the_node_ready_timeout() -> None:
    world = installed()
    world.new_source("b")
    world.trouble[world.target()] = (reasons.IMAGE_PULL_FAILED, "ErrImagePull: connection refused")
    world.run(100)
    assert world.ready_reason() == reasons.ROLLING_OUT
    world.run(60)
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.IMAGE_PULL_FAILED


def test_a_failed_first_install_has_nothing_to_fall_back_to() -> None:
    world = Simulation.with_nodes(2)
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    world.run(60)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(not world.nodes[node].pins for node in world.nodes)
    available = world.condition("Available")
    assert available is not None
    assert available["status"] == "False"


def test_a_rejected_revision_is_never_entered_again_but_by_a_retry_token() -> None:
    world = installed()
    stable_source = world.spec["source"]
    world.new_source("b")
    bad = world.target()
    world.trouble[bad] = (reasons.GOLDEN_MISMATCH, "disagrees")
    world.run(60)
    world.change(source=stable_source)
    world.run(10)
    assert world.ready_reason() == reasons.SERVING
    world.new_source("b")
    world.run(60)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert len([patch for patch in world.pin_log if any(bad in r for r in [world.target()]) and patch.add]) > 0
    pins = len(world.pin_log)
    world.run(60)
    assert len(world.pin_log) == pins
    world.change(rollout={**world.spec["rollout"], "retryToken": "2"})
    world.run(400)
    assert world.ready_reason() == reasons.SERVING


def test_a_newer_spec_supersedes_a_candidate_and_its_nodes_return_to_stable() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.run(30)
    superseded = world.target()
    assert any(superseded in world.pinned(node) for node in world.nodes)
    world.new_source("c")
    world.run(15)
    assert all(world.runs(node) == {stable} for node in world.nodes)
    world.run(300)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert world.status["stableRevision"] == world.target()


def test_going_back_to_the_stable_spec_ends_a_rollout() -> None:
    world = installed()
    source, stable = world.spec["source"], world.status["stableRevision"]
    world.new_source("b")
    world.run(30)
    world.change(source=source)
    world.run(20)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.pinned(node) == {stable} for node in world.nodes)


def test_a_new_node_gets_stable_and_not_the_candidate() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.run(30)
    world.add_node("camera-9")
    world.run(3)
    assert world.pinned("camera-9") == {stable}


def test_a_node_that_is_no_longer_selected_loses_its_pins() -> None:
    world = installed()
    node = world.nodes["camera-1"]
    world.nodes["camera-1"] = type(node)(**{**node.__dict__, "labels": {"edge": "gateway"}})
    world.run(3)
    assert not world.nodes["camera-1"].pins
    assert world.status["nodes"]["selected"] == 2


def test_a_selector_that_matches_nothing_is_reported() -> None:
    world = Simulation.with_nodes(0)
    world.run(60)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.NO_MATCHING_NODES
    assert "edge=camera" in stalled["message"]


def test_a_32_bit_node_is_set_aside_and_counted() -> None:
    world = Simulation.with_nodes(1)
    world.add_node("old", architecture="arm")
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
    assert world.status["nodes"]["unsupported"] == 1
    assert not world.nodes["old"].pins


def test_only_32_bit_nodes_stall() -> None:
    world = Simulation.with_nodes(0)
    world.add_node("old", architecture="arm")
    world.run(60)
    assert world.ready_reason() == reasons.UNSUPPORTED_ARCHITECTURE


def test_the_younger_of_two_models_on_one_host_port_waits() -> None:
    world = Simulation.with_nodes(2, spec=model_spec(serving={"hostPort": 9000, "strategy": "Recreate"}))
    world.rivals = ("vision/older",)
    world.run(60)
    assert world.ready_reason() == reasons.HOST_PORT_CONFLICT
    assert not any(node.pins for node in world.nodes.values())
    world.rivals = ()
    world.run(300)
    assert world.ready_reason() == reasons.SERVING


def test_a_foreign_service_is_not_taken_over() -> None:
    world = Simulation.with_nodes(1)
    world.service_name_conflict = True
    world.run(60)
    assert world.ready_reason() == reasons.SERVICE_NAME_CONFLICT
    assert not any(node.pins for node in world.nodes.values())
    world.service_name_conflict = False
    world.run(300)
    assert world.ready_reason() == reasons.SERVING


def test_each_variant_gets_its_own_pods() -> None:
    variants = [{"name": "pi", "nodeSelector": {"board": "pi"}}]
    world = Simulation.with_nodes(1, spec=model_spec(variants=variants))
    world.add_node("pi-1", board="pi")
    world.run(400)
    assert ("pi-1", world.target(), "pi") in world.pods
    assert ("camera-1", world.target(), "default") in world.pods


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_variant_that_stable_does_not_have_reaches_its_nodes_through_the_waves(strategy: str) -> None:
    """During the trial those nodes run stable's own variant for them, and they return to it."""
    world = Simulation.with_nodes(0, spec=model_spec(serving={"strategy": strategy}))
    for number in range(3):
        world.add_node(f"pi-{number}", board="pi")
    world.run(300)
    stable = world.status["stableRevision"]
    world.change(variants=[{"name": "pi", "nodeSelector": {"board": "pi"}}])
    world.run(22)
    assert all(world.pins(node) >= {(stable, "default")} for node in world.nodes)
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.pins(node) == {(world.target(), "pi")} for node in world.nodes)

    world.change(variants=[], source={**world.spec["source"], "uri": "https://models.example/worse.onnx"})
    better = world.status["stableRevision"]
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    world.run(100)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(world.pins(node) == {(better, "pi")} for node in world.nodes)
    assert all(world.runs(node) == {better} for node in world.nodes)


@built_once
def on_trial_for_longer_than_the_node_ready_timeout() -> Simulation:
    world = Simulation.with_nodes(3, pod_delay_seconds=2)
    world.change(rollout={**world.spec["rollout"], "bakeSeconds": 600})
    world.run(900)
    world.new_source("b")
    world.run(400)
    assert world.ready_reason() == reasons.BAKING
    return world


@pytest.mark.slow
def test_a_pod_of_the_candidate_that_is_evicted_has_time_to_come_back() -> None:
    world = on_trial_for_longer_than_the_node_ready_timeout()
    world.lose_pods("camera-1")
    world.run(60)
    assert not world.status["rejectedRevisions"]
    assert world.runs("camera-1") == {world.target()}


def test_one_failed_readiness_probe_late_in_the_bake_fails_no_node() -> None:
    world = on_trial_for_longer_than_the_node_ready_timeout()
    world.blink("camera-1")
    world.run(60)
    assert not world.status["rejectedRevisions"]


def test_a_candidate_that_stops_serving_is_rolled_back_after_the_node_ready_timeout() -> None:
    world = on_trial_for_longer_than_the_node_ready_timeout()
    world.trouble[world.target()] = ("CreateContainerError", "no space left on device")
    world.run(100)
    assert not world.status["rejectedRevisions"]
    world.run(60)
    assert world.status["rejectedRevisions"][0]["reason"] == "CreateContainerError"


def test_a_clock_of_a_node_that_is_ahead_does_not_hold_the_rollout() -> None:
    world = Simulation.with_nodes(2)
    world.run(10)
    for _ in range(400):
        ahead = world.now.replace(year=2036)
        world.pods = {key: replace(pod, ready_since=ahead if pod.ready else None) for key, pod in world.pods.items()}
        world.run(1)
    assert world.ready_reason() == reasons.SERVING


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_another_node_takes_the_place_of_one_that_failed_within_the_tolerance(strategy: str) -> None:
    world = installed(spec=model_spec(serving={"strategy": strategy}))
    world.change(rollout={**world.spec["rollout"], "maxFailedNodes": 1})
    world.new_source("b")
    world.run(26)
    (first,) = [node for node in world.nodes if world.target() in {name for name, _ in world.pins(node)}]
    world.cut(first)
    world.run(400)
    assert world.status["stableRevision"] == world.target()
    assert not world.status["rejectedRevisions"]
    world.join(first)
    world.run(120)
    assert world.runs(first) == {world.target()}


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_candidate_that_no_node_serves_is_rolled_back_whatever_the_tolerance(strategy: str) -> None:
    world = installed(2, spec=model_spec(serving={"strategy": strategy}))
    stable = world.status["stableRevision"]
    world.change(rollout={**world.spec["rollout"], "maxFailedNodes": 5})
    world.new_source("b")
    world.trouble[world.target()] = (reasons.IMAGE_PULL_FAILED, "ErrImagePull: not found")
    world.run(500)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(world.runs(node) == {stable} for node in world.nodes)


def test_a_rejected_revision_leaves_its_nodes_even_while_another_is_on_trial() -> None:
    """The operator was killed between the verdict and the rollback, and the spec changed before it was back."""
    world = Simulation.with_nodes(5)
    first = world.spec["source"]
    world.run(22)
    world.new_source("b")
    bad = world.target()
    world.trouble[bad] = (reasons.CRASH_LOOP, "the server ended 3 times")
    while not world.decide().status.rejected_revisions:
        world.run(1)
    world.killed_at = world.writes + 3
    world.carry_out(world.decide())  # the Event and the status
    assert bad in {item["name"] for item in world.status["rejectedRevisions"]}
    assert any((bad, "default") in world.pins(node) for node in world.nodes)
    world.change(source=first)
    world.run(1)
    assert world.status["candidateRevision"] == world.target()
    assert not any((bad, "default") in world.pins(node) for node in world.nodes)


def test_a_revision_that_was_rejected_long_ago_stays_rejected() -> None:
    """Its object is gone, with the history beyond ``revisionHistoryLimit``; status remembers its name."""
    world = installed(1)
    world.new_source("b")
    first = world.target()
    for letter in "bcdef0123456":
        world.new_source(letter)
        world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
        world.run(40)
        assert world.ready_reason() == reasons.ROLLED_BACK
    assert first not in world.revisions
    assert sum("message" in item for item in world.status["rejectedRevisions"]) == 10
    pins, jobs = len(world.pin_log), len(world.jobs_started)
    world.new_source("b")
    world.run(60)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert (stalled["reason"], world.target()) == (reasons.ROLLED_BACK, first)
    assert (len(world.pin_log), len(world.jobs_started)) == (pins, jobs)


def test_offline_nodes_are_named_and_no_others() -> None:
    world = installed(2)
    world.add_node("a-32-bit-one", architecture="arm")
    world.cut("camera-2")
    world.run(3)
    pending = world.condition("NodesPending")
    assert pending is not None
    assert pending["message"] == "1 of 3 offline: camera-2"


def test_a_missed_budget_stalls_and_nothing_moves() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    pins = len(world.pin_log)
    world.job_outcome = Failed(reasons.BUDGET_EXCEEDED, "accuracy drops 3.0 %, limit 0.5 % (n = 2000)", False)
    world.new_source("b")
    world.run(200)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert (stalled["reason"], stalled["message"]) == (
        reasons.BUDGET_EXCEEDED,
        "accuracy drops 3.0 %, limit 0.5 % (n = 2000)",
    )
    assert world.status["stableRevision"] == stable
    assert len(world.pin_log) == pins
    assert len(world.jobs_started) == 2


def test_a_relaxed_budget_is_judged_again() -> None:
    world = Simulation.with_nodes(1)
    world.job_outcome = Failed(reasons.BUDGET_EXCEEDED, "too large", False)
    world.run(60)
    world.job_outcome = None
    world.change(compression={"steps": [], "budget": {"maxSizeBytes": 10**9}})
    world.run(300)
    assert world.ready_reason() == reasons.SERVING


def test_a_secret_that_is_named_later_is_tried() -> None:
    world = Simulation.with_nodes(1)
    world.job_outcome = Failed(reasons.SOURCE_UNAUTHORIZED, "401", False)
    world.run(60)
    world.job_outcome = None
    world.change(source={**world.spec["source"], "secretRef": {"name": "pull"}})
    world.run(300)
    assert world.ready_reason() == reasons.SERVING


def test_an_unreachable_source_is_tried_again_with_growing_delays() -> None:
    world = Simulation.with_nodes(1)
    world.job_outcome = Failed(reasons.SOURCE_UNREACHABLE, "connection refused", True)
    world.run(200)
    assert world.condition("Stalled") is None
    assert 3 <= len(world.jobs_started) <= 6
    world.job_outcome = None
    world.run(600)
    assert world.ready_reason() == reasons.SERVING


def test_a_job_killed_for_memory_stalls() -> None:
    world = Simulation.with_nodes(1)
    world.job_outcome = (reasons.OUT_OF_MEMORY, "killed at 64Mi")
    world.run(100)
    assert world.ready_reason() == reasons.OUT_OF_MEMORY
    assert len(world.jobs_started) == 1


def test_a_change_of_the_serving_template_makes_a_revision_without_a_second_compression() -> None:
    world = installed()
    world.change(serving={"resources": {"limits": {"memory": "1Gi"}}})
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
    assert len(world.jobs_started) == 1
    assert len(world.revisions) == 2


def test_a_toleration_that_is_added_later_reaches_the_nodes_with_a_new_revision() -> None:
    world = installed()
    before = world.target()
    world.change(placement={**world.spec["placement"], "tolerations": [{"key": "edge", "operator": "Exists"}]})
    world.run(300)
    assert world.target() != before
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert len(world.jobs_started) == 1


def test_tuning_waves_and_limits_starts_nothing() -> None:
    world = installed()
    pins, target = len(world.pin_log), world.target()
    world.change(rollout={**world.spec["rollout"], "soakSeconds": 1, "maxFailedNodes": 3})
    world.run(60)
    assert world.target() == target
    assert len(world.pin_log) == pins
    assert len(world.jobs_started) == 1


def test_at_rest_nothing_is_written() -> None:
    world = installed()
    writes, pins = len(world.history), len(world.pin_log)
    world.run(600)
    assert (len(world.history), len(world.pin_log)) == (writes, pins)


def test_reconciling_and_stalled_are_never_there_together() -> None:
    world = installed()
    world.new_source("b")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    world.run(100)
    for status in world.history:
        types = [condition["type"] for condition in status["conditions"]]
        assert "Ready" in types
        assert not {"Reconciling", "Stalled"} <= set(types)
        assert all(
            condition["observedGeneration"] == status["observedGeneration"] for condition in status["conditions"]
        )


@pytest.mark.parametrize("count", [1, 2, 7, 40])
@pytest.mark.slow
def test_every_fleet_size_finishes(count: int) -> None:
    world = installed(count)
    world.new_source("b")
    world.run(400)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_revisions_beyond_the_history_limit_are_deleted() -> None:
    world = installed(1, spec=model_spec(revisionHistoryLimit=1))
    for letter in "bcde":
        world.new_source(letter)
        world.run(300)
    assert len(world.revisions) == 2
    assert len(world.daemonsets) == 1


def test_the_result_of_a_rollout_is_recorded_once_in_its_revision() -> None:
    world = installed()
    good = world.target()
    world.new_source("b")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "golden agreement 97.1 %, limit 99.5 %")
    world.run(400)
    passed, failed = world.verdict_log
    assert (passed.name, passed.verdict, passed.reason) == (good, Verdict.PASS, reasons.PROMOTED)
    assert (failed.name, failed.verdict, failed.reason) == (world.target(), Verdict.FAIL, reasons.GOLDEN_MISMATCH)
    assert "golden agreement 97.1 %, limit 99.5 %" in failed.message


def test_a_candidate_on_trial_has_no_verdict_yet() -> None:
    world = Simulation.with_nodes(3)
    world.run(60)
    assert world.status["candidateRevision"] == world.target()
    assert world.verdict_log == []


def test_a_superseded_revision_keeps_its_verdict() -> None:
    world = installed()
    good = world.target()
    world.new_source("b")
    world.run(400)
    assert world.revisions[good].verdict == Verdict.PASS
    assert [item.name for item in world.verdict_log] == [good, world.target()]
