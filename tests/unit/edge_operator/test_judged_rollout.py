"""The rules of a judged rollout, each as a sentence, on a simulated fleet."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from edge_operator.decide import decide
from edgemodel import reasons
from edgemodel.status import status_to_json
from edgemodel.verdict import Verdict
from tests.support.simulation import Simulation, built_once, model_spec

pytestmark = pytest.mark.slow

ERRORS = {"name": "errors", "type": "ErrorRate"}
LATENCY = {"name": "latency", "type": "Latency"}
GOLDEN = {"name": "golden", "type": "GoldenAgreement"}


def analysis(*checks: dict[str, Any], after: int = 600, action: str = "Pause") -> dict[str, Any]:
    undecided = {"afterSeconds": after, "action": action}
    return {"checks": list(checks or (ERRORS, LATENCY, GOLDEN)), "onInconclusive": undecided}


@built_once
def installed(nodes: int = 3, spec: dict[str, Any] | None = None, **fields: Any) -> Simulation:
    """Returns a fleet on its first stable revision, with a newer one on trial, whose canary has just begun to serve."""
    world = Simulation.with_nodes(nodes, spec=spec or model_spec(analysis=analysis()), **fields)
    world.run(1200)
    assert world.ready_reason() == reasons.SERVING, world.condition("Ready")
    return world


def on_trial(world: Simulation, letter: str = "b") -> str:
    world.new_source(letter)
    world.run(27)
    assert world.status["candidateRevision"] == world.target()
    return world.target()


def pinned(world: Simulation) -> list[str]:
    return sorted(node for node in world.nodes if world.target() in world.pinned(node))


def check(world: Simulation, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in world.status["checks"] if item["name"] == name)
    return found


def seen(world: Simulation) -> set[str]:
    return {c["reason"] for status in world.history for c in status["conditions"] if c["type"] == "Ready"}


# --- an upgrade ---


def test_a_trial_that_an_older_operator_began_is_judged_by_baselines_that_are_measured_anew() -> None:
    """The API server has dropped the fields that the schema no longer has; the wave and its beginning stay."""
    world = installed()
    on_trial(world)
    world.requests_per_second = 20
    world.run(3)
    analysis = world.status["rollout"]["analysis"]
    assert analysis["baselines"]
    old = [
        {key: value for key, value in row.items() if key not in ("strength", "designEffect")}
        for row in analysis["baselines"]
    ]
    world.status = {**world.status, "rollout": {**world.status["rollout"], "analysis": {**analysis, "baselines": old}}}
    world.run(3)
    now = world.status["rollout"]["analysis"]
    assert now["since"] == analysis["since"]
    assert all({"strength", "designEffect"} <= row.keys() for row in now["baselines"])
    assert len(now["baselines"]) == len(old)
    world.run(200)
    assert world.status["stableRevision"] == world.target()


# --- verdicts move it ---


def test_a_wave_goes_on_when_it_has_soaked_and_all_its_checks_pass() -> None:
    world = installed()
    on_trial(world)
    world.requests_per_second = 20
    world.run(28)
    assert len(pinned(world)) == 1
    world.run(12)
    assert len(pinned(world)) == 3
    world.run(100)
    assert world.status["stableRevision"] == world.target()
    assert {item["verdict"] for item in world.status["checks"]} == {"Pass"}


def test_a_check_that_fails_rolls_back_in_the_same_pass_however_short_the_soak() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    bad = on_trial(world)
    world.errors[bad] = 0.2
    world.requests_per_second = 20
    world.run(6)
    assert world.ready_reason() == reasons.ROLLED_BACK
    (rejected,) = world.status["rejectedRevisions"]
    assert rejected["reason"] == reasons.ERROR_RATE_TOO_HIGH
    assert "check errors: " in rejected["message"]
    assert "% of requests failed, limit 1 %" in rejected["message"]
    assert all(world.pinned(node) == {stable} for node in world.nodes)


def test_the_reason_of_a_rollback_is_one_message_in_condition_rejection_check_and_revision() -> None:
    world = installed()
    bad = on_trial(world)
    world.errors[bad] = 0.2
    world.requests_per_second = 20
    world.run(30)
    message = check(world, "errors")["message"]
    assert check(world, "errors")["verdict"] == "Fail"
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert message in stalled["message"]
    assert message in world.status["rejectedRevisions"][0]["message"]
    (verdict,) = [item for item in world.verdict_log if item.verdict is Verdict.FAIL]
    assert message in verdict.message


def test_a_candidate_that_fails_in_the_bake_is_rolled_back_everywhere() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    bad = on_trial(world)
    world.requests_per_second = 20
    while world.ready_reason() != reasons.BAKING:
        world.run(1)
    world.errors[bad] = 0.2
    world.run(40)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(world.pinned(node) == {stable} for node in world.nodes)


def test_a_failed_check_rolls_back_nodes_that_have_gone_offline_since() -> None:
    world = installed(4, model_spec(analysis=analysis(ERRORS), rollout=rollout(maxFailedNodes=1, nodes=2)))
    stable = world.status["stableRevision"]
    bad = on_trial(world)
    first, second = pinned(world)
    world.cut(first)
    world.run(2)
    assert world.ready_reason() in {reasons.SOAKING, reasons.ROLLING_OUT}
    world.errors[bad] = 0.3
    world.requests_per_second = 20
    world.run(15)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert world.pinned(first) == world.pinned(second) == {stable}


def test_a_first_install_that_fails_its_check_has_nothing_to_fall_back_to() -> None:
    world = Simulation.with_nodes(2, spec=model_spec(analysis=analysis(ERRORS)), requests_per_second=20)
    world.errors[world.target()] = 0.2
    world.run(120)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(not node.pins for node in world.nodes.values())
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert "there is no stable revision to go back to" in stalled["message"]


def test_one_failed_variant_fails_the_revision_and_is_named() -> None:
    variants = [{"name": "pi", "nodeSelector": {"board": "pi"}}]
    world = Simulation.with_nodes(2, spec=model_spec(analysis=analysis(ERRORS), variants=variants))
    world.add_node("pi-1", board="pi")
    world.run(1200)
    stable = world.status["stableRevision"]
    world.requests_per_second = 20
    world.new_source("b")
    world.errors[world.target(), "pi-1"] = 0.2
    while world.ready_reason() != reasons.ROLLED_BACK:
        world.run(1)
    verdicts = {item["variant"]: item["verdict"] for item in world.status["checks"] if item["name"] == "errors"}
    assert verdicts["pi"] == "Fail"
    assert verdicts.get("default") != "Fail"
    (rejected,) = world.status["rejectedRevisions"]
    assert "check errors (variant pi): " in rejected["message"]
    assert all(world.pinned(node) == {stable} for node in world.nodes)


# --- data that do not decide hold it ---


def test_too_few_requests_hold_the_wave_until_there_are_enough() -> None:
    world = installed()
    on_trial(world)
    world.requests_per_second = 0.2
    world.run(60)
    assert world.ready_reason() == reasons.ANALYSIS_INCONCLUSIVE
    assert len(pinned(world)) == 1
    ready = world.condition("Ready")
    assert ready is not None
    assert "waits for errors" in ready["message"]
    assert "more requests would, in " in ready["message"]
    assert "it waits for a person" in ready["message"]
    assert world.status["rollout"]["heldSince"]
    world.requests_per_second = 20
    world.run(12)
    assert len(pinned(world)) == 3


def test_a_wave_in_its_warm_up_waits_however_bad_its_requests_are_and_goes_on_after_it() -> None:
    """No server of stable had a request in its own."""
    world = installed(warm_up=timedelta(seconds=90), requests_per_second=20.0)
    candidate = on_trial(world)
    world.errors[candidate] = 0.5
    world.run(60)
    assert world.ready_reason() == reasons.ANALYSIS_INCONCLUSIVE
    assert len(pinned(world)) == 1
    assert "requests of the warm-up on 1 node so far: too early" in check(world, "errors")["message"]
    world.errors.clear()
    world.run(60)
    assert len(pinned(world)) == 3
    world.run(1800)
    assert world.status["stableRevision"] == candidate


def test_a_candidate_that_fails_after_its_warm_up_is_rolled_back() -> None:
    world = installed(warm_up=timedelta(seconds=90), requests_per_second=20.0)
    world.errors[on_trial(world)] = 0.5
    world.run(200)
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.ERROR_RATE_TOO_HIGH
    assert "of the warm-up" not in world.status["rejectedRevisions"][0]["message"]


def test_prometheus_down_for_a_whole_wave_holds_it_until_prometheus_is_back() -> None:
    world = installed()
    on_trial(world)
    world.requests_per_second = 20
    world.prometheus = "down"
    world.run(300)
    assert world.ready_reason() == reasons.METRICS_UNAVAILABLE
    assert len(pinned(world)) == 1
    ready = world.condition("Ready")
    assert ready is not None
    assert "Prometheus does not answer: connection refused" in ready["message"]
    world.prometheus = "up"
    world.run(10)
    assert len(pinned(world)) == 3
    assert "heldSince" not in world.status["rollout"]


def test_prometheus_without_metrics_of_the_candidate_holds() -> None:
    world = installed()
    on_trial(world)
    world.prometheus = "empty"
    world.run(100)
    assert world.ready_reason() == reasons.METRICS_UNAVAILABLE
    assert len(pinned(world)) == 1


def test_missing_data_moves_nothing_whatever_it_was_before() -> None:
    """A candidate that was about to fail is neither rolled back without new measurements, nor does it go on."""
    world = installed()
    bad = on_trial(world)
    world.prometheus = "down"
    world.errors[bad] = 0.5
    world.run(400)
    assert not world.status["rejectedRevisions"]
    assert len(pinned(world)) == 1


def test_past_its_deadline_a_held_wave_is_stalled_and_still_continues_when_data_decide() -> None:
    world = installed()
    on_trial(world)
    world.prometheus = "down"
    world.run(60 + 30 + 600)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.ANALYSIS_DEADLINE_EXCEEDED
    assert "limit 600 s (analysis.onInconclusive.afterSeconds)" in stalled["message"]
    assert len(pinned(world)) == 1
    world.prometheus = "up"
    world.requests_per_second = 20
    world.run(30)
    assert world.condition("Stalled") is None
    assert len(pinned(world)) == 3


@pytest.mark.parametrize(("policy", "outcome"), [("RollBack", reasons.ROLLED_BACK), ("Proceed", reasons.SERVING)])
def test_past_its_deadline_a_held_wave_takes_the_users_action(policy: str, outcome: str) -> None:
    world = installed()
    world.change(analysis=analysis(ERRORS, after=100, action=policy))
    on_trial(world)
    world.prometheus = "down"
    world.run(700)
    assert world.ready_reason() == outcome
    if policy == "RollBack":
        assert world.status["rejectedRevisions"][0]["reason"] == reasons.METRICS_UNAVAILABLE
        assert "limit 100 s" in world.status["rejectedRevisions"][0]["message"]


def test_a_user_who_changes_what_happens_at_the_deadline_frees_a_held_rollout() -> None:
    world = installed()
    on_trial(world)
    world.prometheus = "down"
    world.run(200)
    world.change(analysis=analysis(after=0, action="Proceed"))
    world.run(200)
    assert world.status["stableRevision"] == world.target()


def test_without_traffic_the_golden_set_drives_it_and_the_status_says_so() -> None:
    world = installed()
    world.requests_per_second = 0
    on_trial(world)
    world.run(400)
    assert world.status["stableRevision"] == world.target()
    assert check(world, "errors")["verdict"] == "Inconclusive"
    assert (
        "no request on 3 nodes: the golden set (100 % of 192 items agree) decides" in check(world, "errors")["message"]
    )
    assert check(world, "golden")["verdict"] == "Pass"


def test_without_analysis_in_the_spec_a_bad_candidate_is_rolled_back_and_nothing_is_held_up() -> None:
    world = installed(spec=model_spec())
    on_trial(world)
    world.requests_per_second = 0.1
    world.run(150)
    assert world.status["stableRevision"] == world.target()
    world.new_source("c")
    world.errors[world.target()] = 0.3
    world.requests_per_second = 20
    world.run(60)
    assert world.ready_reason() == reasons.ROLLED_BACK


def test_without_checks_readiness_alone_decides() -> None:
    world = installed(spec=model_spec(analysis={"checks": []}))
    bad = on_trial(world)
    world.errors[bad] = 0.5
    world.run(200)
    assert world.status["stableRevision"] == bad
    assert "analysis" not in world.history[-3]["rollout"] if world.history[-3]["rollout"] else True


# --- the baseline of a wave ---


def test_each_wave_has_its_own_measurement_and_its_baseline_ends_where_it_begins() -> None:
    world = installed()
    on_trial(world)
    world.requests_per_second = 20
    began = []
    for _ in range(150):
        world.run(1)
        rollout = world.status["rollout"]
        if rollout and (rollout["wave"], rollout["analysis"]["since"]) not in began:
            began.append((rollout["wave"], rollout["analysis"]["since"]))
    assert [wave for wave, _ in began] == [0, 1]
    assert began[0][1] < began[1][1]


def test_the_parameters_of_a_wave_stay_what_they_are_in_status() -> None:
    world = installed()
    on_trial(world)
    world.run(5)
    first = world.status["rollout"]["analysis"]
    assert first["alpha"] == "0.025"
    assert {(row["check"], row["measure"]) for row in first["baselines"]} == {
        ("errors", "failed"),
        ("errors", "refused"),
        ("latency", "slowdown"),
    }
    world.requests_per_second = 1
    world.run(15)
    assert world.status["rollout"]["analysis"] == first


def test_a_change_of_the_checks_restarts_the_measurement_but_no_rollout() -> None:
    world = installed()
    on_trial(world)
    world.run(5)
    before = world.status["rollout"]["analysis"]
    world.change(analysis=analysis(ERRORS))
    world.run(2)
    after = world.status["rollout"]["analysis"]
    assert after["checksHash"] != before["checksHash"]
    assert after["since"] > before["since"]
    assert len(pinned(world)) == 1


def test_tuning_limits_and_deadlines_at_rest_starts_nothing() -> None:
    world = installed()
    pins, target = len(world.pin_log), world.target()
    world.change(analysis=analysis(ERRORS, after=5), rollout={**world.spec["rollout"], "paused": True})
    world.run(60)
    assert world.target() == target
    assert len(world.pin_log) == pins


def test_status_is_not_written_while_its_meaning_stays() -> None:
    """The trial is observed for half an hour, once a second."""
    world = installed()
    world.change(rollout=rollout(soakSeconds=3600))
    on_trial(world)
    world.run(10)
    before = len(world.history)
    world.run(1800)
    assert len(world.history) - before <= 2 * 8  # two checks of requests, of which there are some 2**8 times as many


# --- paused ---


def rollout(nodes: int = 1, **changes: Any) -> dict[str, Any]:
    waves = [{"name": "canary", "nodes": nodes}, {"name": "all", "percent": 100}]
    return {"waves": waves, "soakSeconds": 30, "bakeSeconds": 60, "nodeReadyTimeoutSeconds": 120, **changes}


def pause(world: Simulation, paused: bool) -> None:
    world.change(rollout={**world.spec["rollout"], "paused": paused})


def test_paused_stops_the_rollout_and_the_time_soaked_counts_when_it_continues() -> None:
    world = installed(spec=model_spec(analysis={"checks": []}))
    on_trial(world)
    world.run(12)
    pause(world, True)
    world.run(500)
    assert world.ready_reason() == reasons.PAUSED
    assert len(pinned(world)) == 1
    pause(world, False)
    world.run(14)
    assert len(pinned(world)) == 1
    world.run(10)
    assert len(pinned(world)) == 3


def test_paused_before_it_began_lets_no_node_in() -> None:
    world = installed()
    pause(world, True)
    world.new_source("b")
    world.run(300)
    assert world.ready_reason() == reasons.PAUSED
    assert not pinned(world)
    pause(world, False)
    world.run(10)
    assert len(pinned(world)) == 1


def test_paused_freezes_the_deadline_of_a_node() -> None:
    world = installed()
    world.new_source("b")
    world.trouble[world.target()] = (reasons.IMAGE_PULL_FAILED, "ErrImagePull: connection refused")
    world.run(60)
    pause(world, True)
    world.run(500)
    assert not world.status["rejectedRevisions"]
    pause(world, False)
    world.run(60)
    assert not world.status["rejectedRevisions"]
    world.run(60)
    assert world.status["rejectedRevisions"][0]["reason"] == reasons.IMAGE_PULL_FAILED


def test_paused_freezes_the_time_that_an_undecided_wave_has() -> None:
    world = installed()
    on_trial(world)
    world.prometheus = "down"
    world.run(300)
    pause(world, True)
    world.run(2000)
    pause(world, False)
    world.run(100)
    assert world.condition("Stalled") is None
    world.run(400)
    assert world.condition("Stalled") is not None


def test_a_paused_rollout_is_still_rolled_back() -> None:
    world = installed()
    bad = on_trial(world)
    pause(world, True)
    world.run(10)
    world.errors[bad] = 0.3
    world.requests_per_second = 20
    world.run(20)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert not pinned(world)


def test_a_new_node_gets_stable_also_while_paused() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    on_trial(world)
    pause(world, True)
    world.add_node("camera-9")
    world.run(5)
    assert world.pinned("camera-9") == {stable}


def test_a_bake_that_is_paused_promotes_nothing() -> None:
    world = installed(spec=model_spec(analysis={"checks": []}))
    stable = world.status["stableRevision"]
    on_trial(world)
    while world.ready_reason() != reasons.BAKING:
        world.run(1)
    pause(world, True)
    world.run(500)
    assert world.status["stableRevision"] == stable
    pause(world, False)
    world.run(70)
    assert world.status["stableRevision"] == world.target()


# --- progress ---


def test_a_rollout_without_progress_is_stalled_and_continues_when_it_can() -> None:
    world = installed(spec=model_spec(analysis=analysis(), rollout=rollout(progressDeadlineSeconds=200)))
    for node in list(world.nodes):
        world.cut(node)
    world.new_source("b")
    world.run(150)
    assert world.ready_reason() == reasons.NODES_OFFLINE
    world.run(120)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.PROGRESS_DEADLINE_EXCEEDED
    assert "limit 200 s" in stalled["message"]
    for node in list(world.nodes):
        world.join(node)
    world.requests_per_second = 20
    world.run(200)
    assert world.status["stableRevision"] == world.target()


def test_a_long_soak_is_not_a_lack_of_progress() -> None:
    slow = rollout(soakSeconds=900, progressDeadlineSeconds=100)
    world = installed(spec=model_spec(analysis={"checks": []}, rollout=slow))
    on_trial(world)
    world.run(800)
    assert world.ready_reason() == reasons.SOAKING


# --- stable, superseded and former revisions ---


def test_a_superseded_candidate_leaves_an_offline_node_at_once() -> None:
    """The candidate was never proven, so it must not serve when the node comes back."""
    world = installed(spec=model_spec(analysis={"checks": []}))
    stable = world.status["stableRevision"]
    superseded = on_trial(world)
    world.run(4)
    (node,) = pinned(world)
    world.change(rollout={**world.spec["rollout"], "maxFailedNodes": 5})
    world.cut(node)
    world.new_source("c")
    world.run(2)
    assert superseded not in world.pinned(node)
    assert world.pinned(node) == {stable}


def test_no_more_than_three_revisions_are_alive_however_long_nodes_are_offline() -> None:
    world = installed(5, model_spec(analysis={"checks": []}))
    for number, letter in enumerate("bcde"):
        world.cut(f"camera-{number + 1}")
        world.new_source(letter)
        for _ in range(200):
            world.run(1)
            alive = {name for node in world.nodes for name, _ in world.pins(node)}
            assert len(alive) <= 3
    assert world.status["stableRevision"] == world.target()


def test_nodes_that_return_catch_up_no_more_at_a_time_than_the_wave_before_the_last_holds() -> None:
    waves = [{"name": "two", "nodes": 2}, {"name": "all", "percent": 100}]
    world = installed(8, model_spec(analysis={"checks": []}, rollout={**rollout(), "waves": waves}))
    late = [f"camera-{number}" for number in range(1, 6)]
    for node in late:
        world.cut(node)
    world.new_source("b")
    world.run(300)
    assert world.status["stableRevision"] == world.target()
    for node in late:
        world.join(node)
    for _ in range(120):
        world.run(1)
        under_way = [n for n in late if world.target() in world.pinned(n) and world.target() not in world.runs(n)]
        assert len(under_way) <= 2
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert world.ready_reason() == reasons.SERVING


def test_when_a_node_fails_to_catch_up_no_further_one_is_sent_and_it_is_stalled() -> None:
    world = installed(5, model_spec(analysis={"checks": []}))
    stable = world.status["stableRevision"]
    late = [f"camera-{number}" for number in range(1, 4)]
    for node in late:
        world.cut(node)
    world.new_source("b")
    world.run(300)
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)")
    for node in late:
        world.join(node)
    world.run(40)
    assert world.ready_reason() == reasons.NODES_FAILED
    assert sum(world.target() in world.pinned(node) for node in late) == 1
    assert all(stable in world.runs(node) for node in late)
    world.trouble.clear()
    world.run(60)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.runs(node) == {world.target()} for node in late)


def test_a_failed_node_within_the_limit_keeps_the_model_ready_and_is_named() -> None:
    world = installed(3, model_spec(analysis={"checks": []}, rollout=rollout(maxFailedNodes=1)))
    world.cut("camera-1")
    world.new_source("b")
    world.run(300)
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    healthy = {key: pod for key, pod in world.pods.items() if key[0] != "camera-1"}
    world.join("camera-1")
    for _ in range(30):
        world.run(1)
        world.pods.update(healthy)
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["status"] == "True"
    assert "1 node failed: node camera-1" in ready["message"]
    assert world.status["nodes"]["failed"] == 1


def test_one_failed_node_within_the_limit_keeps_no_other_from_catching_up() -> None:
    world = installed(4, model_spec(analysis={"checks": []}, rollout=rollout(maxFailedNodes=1)))
    late = ["camera-1", "camera-2", "camera-3"]
    for node in late:
        world.cut(node)
    world.new_source("b")
    world.run(300)
    for node in late:
        world.join(node)
    ill = None
    for _ in range(600):
        world.run(1)
        ill = ill or next((node for node in late if world.target() in world.pinned(node)), None)
        for key, pod in world.pods.items():
            if pod.node == ill and pod.revision == world.target():
                world.pods[key] = replace(pod, ready=False, ready_since=None, trouble=(reasons.CRASH_LOOP, "ends"))
    assert all(world.runs(node) == {world.target()} for node in late if node != ill)
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["status"] == "True"
    assert f"1 node failed: node {ill}" in ready["message"]


def test_a_node_that_comes_back_after_long_has_time_to_serve_again() -> None:
    """Its pod has not been ready for as long as it was away."""
    world = installed(3, model_spec(analysis={"checks": []}, rollout=rollout()), start_seconds=20)
    world.cut("camera-1")
    world.run(600)
    world.join("camera-1")
    seen = len(world.history)
    world.run(30)
    said = {c["reason"] for status in world.history[seen:] for c in status["conditions"] if c["type"] == "Ready"}
    assert said == {reasons.NODES_CATCHING_UP, reasons.SERVING}


def test_a_node_that_cannot_pull_when_it_catches_up_has_failed_after_its_deadline() -> None:
    spec = model_spec(analysis={"checks": []}, rollout=rollout(), serving={"strategy": "Recreate"})
    world = installed(3, spec)
    world.cut("camera-1")
    world.new_source("b")
    world.run(400)
    world.trouble[world.target()] = (reasons.IMAGE_PULL_FAILED, "no such image")
    healthy = {key: pod for key, pod in world.pods.items() if key[0] != "camera-1"}
    world.join("camera-1")
    for _ in range(200):
        world.run(1)
        world.pods.update(healthy)
    assert world.ready_reason() == reasons.NODES_FAILED


def test_a_node_on_which_no_pod_is_made_when_it_joins_is_named_after_its_deadline_and_keeps_the_others_ready() -> None:
    world = installed(3, model_spec(analysis={"checks": []}, rollout=rollout()))
    world.add_node("camera-9")
    world.pod_delay_seconds = 10_000
    world.run(200)
    pending = world.condition("NodesPending")
    assert pending is not None
    assert pending["reason"] == reasons.NODES_SET_ASIDE
    assert "camera-9 (no pod was made in" in pending["message"]
    assert world.status["nodes"]["notReady"] == ["camera-9"]
    assert world.ready_reason() == reasons.SERVING


def test_a_restarted_operator_remembers_since_when_a_wave_is_held() -> None:
    world = installed()
    on_trial(world)
    world.prometheus = "down"
    world.run(400)
    held = world.status["rollout"]["heldSince"]
    later = decide(replace(world.observe(), samples=None), world.now)
    assert status_to_json(later.status)["rollout"]["heldSince"] == held


def test_a_pod_that_stops_after_a_long_soak_is_not_a_lack_of_progress() -> None:
    spec = model_spec(analysis={"checks": []}, rollout={**rollout(progressDeadlineSeconds=60), "soakSeconds": 600})
    world = Simulation.with_nodes(3, spec=spec)
    world.run(2000)
    on_trial(world)
    world.run(300)
    (node,) = pinned(world)
    world.blink(node)
    world.run(3)
    assert world.condition("Stalled") is None


def test_a_wave_waits_until_prometheus_has_the_metrics_of_its_whole_soak() -> None:
    """The remote write is two minutes late."""
    world = installed()
    world.change(rollout={**world.spec["rollout"], "soakSeconds": 300})
    on_trial(world)
    world.requests_per_second, world.behind = 20, 120
    world.run(320)
    assert len(pinned(world)) == 1
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["reason"] == reasons.METRICS_UNAVAILABLE
    assert "waits for metrics up to" in ready["message"]
    written = len(world.history)
    world.run(20)
    assert len(world.history) == written
    world.run(40)
    assert len(pinned(world)) == 3


def test_a_clock_of_a_node_that_is_ahead_hides_no_regression() -> None:
    world = installed()
    bad = on_trial(world)
    world.requests_per_second = 20
    world.errors[bad] = 0.2
    (canary,) = pinned(world)
    for _ in range(20):
        for key, pod in world.pods.items():
            if pod.node == canary and pod.ready and pod.revision == bad:
                world.pods[key] = replace(pod, ready_since=world.now + timedelta(hours=1))
        world.run(1)
    assert world.ready_reason() == reasons.ROLLED_BACK


def test_the_time_at_which_a_wave_was_held_is_a_time() -> None:
    world = installed()
    on_trial(world)
    world.prometheus = "down"
    world.run(200)
    assert datetime.fromisoformat(world.status["rollout"]["heldSince"]) <= world.now
