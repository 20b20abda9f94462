"""The preflight: the measurements of a candidate on one node of each hardware class, before any node serves it."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_operator import objects
from edge_operator.decide.actions import DeleteJob
from edge_operator.decide.preflight.class_job import MAX_ATTEMPTS
from edge_operator.decide.preflight.hardware_classes import MAX_CLASSES
from edge_operator.from_api import preflight_job, read_job, read_job_pod
from edgemodel import preflight_report, reasons, serving
from edgemodel.names import COMPONENT_PREFLIGHT, LABEL_COMPONENT
from edgemodel.plain import to_api
from edgemodel.preflight_report import Incompatible, Measurement
from edgemodel.spec import parse_spec
from edgemodel.verdict import Verdict
from tests.support import manifests
from tests.support.simulation import Simulation, measured, model_spec
from tests.unit.edge_operator.test_rollout_properties import VALIDATOR, _closed

pytestmark = pytest.mark.slow

EVERY_CAMERA = {"nodeSelector": {"edge": "camera"}, "maxLatencyMilliseconds": "20"}


def fleet(nodes: int = 3, preflight: dict[str, Any] | None = EVERY_CAMERA, **fields: Any) -> Simulation:
    spec = model_spec(**({"preflight": preflight} if preflight is not None else {}))
    return Simulation.with_nodes(nodes, spec=spec, **fields)


def classes(world: Simulation) -> dict[str, dict[str, Any]]:
    """Returns the classes by name."""
    return {item["name"]: item for item in world.status["preflight"]["classes"]}


def rejected(world: Simulation) -> dict[str, Any]:
    (item,) = world.status["rejectedRevisions"]
    return dict(item)


def until_preflight(world: Simulation) -> None:
    world.run(23)
    assert world.ready_reason() == reasons.PREFLIGHT_RUNNING


# --- when all goes well ---


def test_no_node_serves_a_candidate_before_a_node_of_its_class_has_passed() -> None:
    world = fleet()
    until_preflight(world)
    for _ in range(10):
        world.step()
        assert not any(node.pins for node in world.nodes.values())
        assert not world.daemonsets
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    (start,) = world.preflights_started
    assert (start.variant, start.revision.name) == ("default", world.target())


def test_the_measured_node_is_the_one_that_would_switch_first() -> None:
    world = fleet(5)
    world.run(60)
    (start,) = world.preflights_started
    switched = next(patch.node for patch in world.pin_log)
    assert start.node == switched


def test_the_measurement_is_reported_and_stays() -> None:
    world = fleet()
    world.run(400)
    (entry,) = classes(world).values()
    assert entry["verdict"] == "Pass"
    assert entry["message"] == ("golden set agrees on 100 %, limit 95 % (n = 64); p50 1.000 ms, limit 20 ms (n = 500)")
    assert (entry["p95Milliseconds"], entry["cpu"], entry["instructionSets"]) == ("2.000", "Cortex-A72", ["asimd"])
    assert entry["placed"] == ["CPUExecutionProvider"]
    (revision,) = world.revisions.values()
    assert to_api(revision.preflight) == {"classes": [entry]}
    assert world.condition("LatencyUnverified") is None


def test_without_preflight_nothing_is_measured_and_nothing_is_reported() -> None:
    world = fleet(preflight=None)
    world.run(400)
    assert world.status["stableRevision"] == world.target()
    assert world.preflights_started == []
    assert all(status["preflight"] is None for status in world.history)


def test_each_variant_and_architecture_is_a_class_of_its_own() -> None:
    world = fleet(2)
    world.change(variants=[{"name": "pi", "nodeSelector": {"board": "pi"}}])
    world.add_node("pi-1", "arm64", board="pi")
    world.add_node("arm-1", "arm64")
    world.run(60)
    assert classes(world).keys() == {"default/amd64", "default/arm64", "pi/arm64"}
    asked = {(start.variant, start.node) for start in world.preflights_started}
    assert {("pi", "pi-1"), ("default", "arm-1")} < asked
    assert len(asked) == 3


def test_labels_tell_classes_apart_where_they_are_named() -> None:
    world = fleet(0, {**EVERY_CAMERA, "hardwareClassLabels": ["cpu", "board"]})
    world.add_node("a", cpu="n100", board="x")
    world.add_node("b", cpu="atom")
    world.add_node("c", cpu="atom")
    world.run(60)
    assert [item["name"] for item in world.status["preflight"]["classes"]] == [
        "default/amd64/atom/-",
        "default/amd64/n100/x",
    ]


def test_with_too_many_classes_those_with_most_nodes_are_measured_and_the_others_counted() -> None:
    world = fleet(0, {**EVERY_CAMERA, "hardwareClassLabels": ["serial"]})
    for number in range(MAX_CLASSES + 4):
        world.add_node(f"camera-{number}", serial=str(number))
    world.add_node("twin", serial="23")
    world.run(60)
    found = world.status["preflight"]
    assert (len(found["classes"]), found["omitted"]) == (MAX_CLASSES, 4)
    assert found["classes"][0]["name"] == "default/amd64/23"
    unverified = world.condition("LatencyUnverified")
    assert unverified is not None
    assert unverified["message"] == "and 4 more"


def test_an_update_passes_preflight_while_stable_serves_on_and_new_nodes_get_stable() -> None:
    world = fleet()
    world.run(400)
    stable = world.target()
    world.new_source("b")
    world.add_node("late")
    until_preflight(world)
    world.run(8)
    assert all(world.runs(node) == {stable} for node in world.nodes)
    world.run(400)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert len(world.preflights_started) == 2


# --- results that reject a candidate ---


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (measured(p50="20.001"), "p50 20.001 ms, limit 20 ms (n = 500)"),
        (measured(agree=60), "golden set agrees on 93.75 %, limit 95 % (n = 64)"),
        (
            measured(agree=8, p50="21"),
            "golden set agrees on 12.5 %, limit 95 % (n = 64); p50 21 ms, limit 20 ms (n = 500)",
        ),
    ],
)
def test_too_slow_or_too_few_items_reject_with_observed_limit_and_node(outcome: Measurement, why: str) -> None:
    world = fleet(1, target_outcome={"camera-1": outcome})
    world.run(60)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == world.ready_reason() == reasons.PREFLIGHT_FAILED
    message = f"node camera-1 (default/amd64): {why}"
    assert message in stalled["message"]
    assert (rejected(world)["reason"], rejected(world)["message"]) == (reasons.PREFLIGHT_FAILED, message)
    assert not world.pin_log
    assert not world.daemonsets
    assert [(item.verdict, item.reason) for item in world.verdict_log] == [(Verdict.FAIL, reasons.PREFLIGHT_FAILED)]


@pytest.mark.parametrize("outcome", [measured(p50="20.000"), measured(agree=61)])
def test_what_is_at_the_limit_passes(outcome: Measurement) -> None:
    world = fleet(1, target_outcome={"camera-1": outcome})
    world.run(300)
    assert world.ready_reason() == reasons.SERVING


def test_without_a_limit_the_latency_is_measured_only() -> None:
    world = fleet(1, {"nodeSelector": {"edge": "camera"}}, target_outcome={"camera-1": measured(p50="900.000")})
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
    assert "p50 900.000 ms, no limit" in classes(world)["default/amd64"]["message"]


@pytest.mark.parametrize(
    "outcome",
    [
        (reasons.OUT_OF_MEMORY, "killed at 64Mi"),
        (reasons.DEADLINE_EXCEEDED, "took longer than 600 s"),
        (reasons.IMAGE_PULL_FAILED, "not found"),
        Incompatible(reasons.MODEL_LOAD_FAILED, "no such operator"),
    ],
)
def test_a_job_that_fails_with_a_reason_rejects_for_that_reason(outcome: Any) -> None:
    world = fleet(1, target_outcome={"camera-1": outcome})
    world.run(60)
    reason, why = (outcome.reason, outcome.message) if isinstance(outcome, Incompatible) else outcome
    assert rejected(world)["reason"] == reason
    assert rejected(world)["message"] == f"node camera-1 (default/amd64): {why}"
    assert world.ready_reason() == reasons.PREFLIGHT_FAILED
    assert len(world.preflights_started) == 1


def test_one_that_crashes_is_tried_again_with_growing_delays_and_then_rejects() -> None:
    world = fleet(1, target_outcome={"camera-1": "exit code 132"})
    world.run(250)
    assert [start.attempt for start in world.preflights_started] == [1, 2, 3]
    assert rejected(world)["reason"] == reasons.PREFLIGHT_FAILED
    assert "ended 3 times without a report (exit code 132)" in rejected(world)["message"]
    assert world.preflights_started[-1].name in rejected(world)["message"]


def test_one_that_crashes_once_is_forgiven() -> None:
    world = fleet(1, target_outcome={"camera-1": "exit code 1"})
    world.run(40)
    world.target_outcome.clear()
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
    assert len(world.preflights_started) == 2


def test_a_report_that_arrives_after_the_end_of_its_job_counts() -> None:
    """Job and pod are watched separately: also at the last attempt, the pod's message may arrive later."""
    world = fleet(1, target_outcome={"camera-1": ""})
    while len(world.preflights_started) < MAX_ATTEMPTS or world.ready_reason() != reasons.PREFLIGHT_RUNNING:
        world.step()
        world.now += world.now.resolution * 1_000_000
    world.run(17)
    name = world.preflights_started[-1].name
    job = world.preflights[name]
    assert job.ended is not None
    world.preflights[name] = type(job)(name, 3, job.created, job.ended, measured(), None)
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
    assert world.condition("LatencyUnverified") is None


def test_one_class_that_fails_rejects_at_once_and_ends_the_other_jobs() -> None:
    world = fleet(1, target_outcome={"camera-1": measured(p50="30"), "arm-1": "hangs"})
    world.add_node("arm-1", "arm64")
    world.run(60)
    assert rejected(world)["message"].startswith("node camera-1 ")
    assert {job.ended is not None for job in world.preflights.values()} == {True}
    (revision,) = world.revisions.values()
    assert revision.preflight is not None
    assert {item.name: item.verdict for item in revision.preflight.classes} == {
        "default/amd64": Verdict.FAIL,
        "default/arm64": None,
    }


def test_stable_serves_on_when_an_update_fails_its_preflight() -> None:
    world = fleet()
    world.run(400)
    stable = world.target()
    world.new_source("b")
    world.target_outcome = dict.fromkeys(world.nodes, measured(p50="99"))
    world.run(300)
    assert world.status["stableRevision"] == stable
    assert all(world.runs(node) == {stable} for node in world.nodes)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert f"stable is {stable}" in stalled["message"]
    assert world.condition("Available")["status"] == "True"  # type: ignore[index]


def test_a_rejected_candidate_is_measured_again_only_with_a_new_retry_token() -> None:
    world = fleet(1, target_outcome={"camera-1": measured(p50="99")})
    world.run(100)
    world.change(preflight={**EVERY_CAMERA, "maxLatencyMilliseconds": "100"})
    world.run(100)
    assert world.ready_reason() == reasons.PREFLIGHT_FAILED
    world.change(rollout={**world.spec["rollout"], "retryToken": "1"})
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
    assert len(world.preflights_started) == 2


def test_a_changed_limit_applies_at_once_while_other_classes_are_measured() -> None:
    world = fleet(1, target_outcome={"camera-1": measured(p50="12"), "arm-1": "hangs"})
    world.add_node("arm-1", "arm64")
    world.run(50)
    assert classes(world)["default/amd64"]["verdict"] == "Pass"
    world.change(preflight={**EVERY_CAMERA, "maxLatencyMilliseconds": "10"})
    world.step()
    assert "p50 12 ms, limit 10 ms" in rejected(world)["message"]


# --- results that decide nothing ---


def test_a_class_without_a_labelled_node_goes_on_unverified_and_says_so() -> None:
    world = fleet(2, {"nodeSelector": {"preflight": "yes"}})
    world.add_node("arm-1", "arm64", preflight="yes")
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    unverified = world.condition("LatencyUnverified")
    assert unverified is not None
    assert (unverified["status"], unverified["reason"]) == ("True", reasons.LATENCY_UNVERIFIED)
    assert unverified["message"] == "default/amd64: preflight.nodeSelector preflight=yes selects none of its nodes (2)"
    assert "p50Milliseconds" not in classes(world)["default/amd64"]
    assert classes(world)["default/arm64"]["verdict"] == "Pass"
    assert [start.node for start in world.preflights_started] == ["arm-1"]


def test_a_class_whose_nodes_are_offline_when_the_candidate_comes_goes_on_unverified() -> None:
    world = fleet(2)
    world.add_node("arm-1", "arm64")
    world.cut("arm-1")
    world.run(400)
    unverified = world.condition("LatencyUnverified")
    assert unverified is not None
    assert unverified["message"] == "default/arm64: of its nodes with edge=camera (1) none is online"
    assert world.status["stableRevision"] == world.target()


def test_while_no_node_at_all_is_online_the_candidate_waits_and_nothing_is_planned() -> None:
    world = fleet(2)
    for name in world.nodes:
        world.cut(name)
    world.run(100)
    assert world.ready_reason() == reasons.NODES_OFFLINE
    assert world.status["preflight"] is None
    world.join("camera-1")
    world.run(300)
    assert classes(world)["default/amd64"]["node"] == "camera-1"
    assert world.status["stableRevision"] == world.target()


def test_a_node_that_goes_offline_during_preflight_is_awaited_until_the_deadline_and_rejects_nothing() -> None:
    world = fleet(2, {**EVERY_CAMERA, "deadlineSeconds": 60})
    until_preflight(world)
    (start,) = world.preflights_started
    world.cut(start.node)
    world.run(100)
    assert world.ready_reason() == reasons.PREFLIGHT_RUNNING
    world.run(30)
    unverified = world.condition("LatencyUnverified")
    assert unverified is not None
    assert f"node {start.node} did not answer within 60 s (preflight.deadlineSeconds): it is offline" in str(unverified)
    assert not world.preflights
    assert world.status["candidateRevision"] == world.target()


def test_a_node_that_comes_back_in_time_is_measured() -> None:
    world = fleet(2)
    until_preflight(world)
    (start,) = world.preflights_started
    world.cut(start.node)
    world.run(100)
    world.join(start.node)
    world.run(300)
    assert world.condition("LatencyUnverified") is None
    assert world.status["stableRevision"] == world.target()


def test_a_node_without_room_leaves_its_class_unverified_with_the_schedulers_message() -> None:
    world = fleet(1, {**EVERY_CAMERA, "deadlineSeconds": 60}, target_outcome={"camera-1": "hangs"})
    until_preflight(world)
    for name, job in world.preflights.items():
        world.preflights[name] = type(job)(**{**vars(job), "waits_for": "0/1 nodes: Insufficient memory"})
    world.step()
    ready = world.condition("Ready")
    assert ready is not None
    assert "its pod waits: 0/1 nodes: Insufficient memory" in ready["message"]
    world.run(130)
    unverified = world.condition("LatencyUnverified")
    assert unverified is not None
    assert unverified["message"].endswith("0/1 nodes: Insufficient memory")


def test_jobs_that_are_ended_from_without_say_nothing_of_the_artifact() -> None:
    world = fleet(1, target_outcome={"camera-1": ""})
    world.run(400)
    assert world.status["stableRevision"] == world.target()
    assert "ended the Job 3 times without a report" in classes(world)["default/amd64"]["message"]


def test_an_artifact_without_a_golden_set_is_loaded_without_a_latency() -> None:
    world = fleet(1, target_outcome={"camera-1": Measurement(None, None, "Cortex-A72", ())})
    world.run(300)
    assert world.status["stableRevision"] == world.target()
    entry = classes(world)["default/amd64"]
    assert entry["verdict"] == "Inconclusive"
    assert "no golden set" in entry["message"]


# --- in between ---


def test_paused_no_job_starts_and_a_result_of_one_that_runs_is_kept() -> None:
    world = fleet(1)
    world.change(rollout={**world.spec["rollout"], "paused": True})
    world.run(60)
    assert world.ready_reason() == reasons.PAUSED
    assert world.preflights_started == []
    world.change(rollout={**world.spec["rollout"], "paused": False})
    world.step()
    world.change(rollout={**world.spec["rollout"], "paused": True})
    world.run(60)
    assert classes(world)["default/amd64"]["verdict"] == "Pass"
    assert not world.pin_log
    assert world.ready_reason() == reasons.PAUSED


def test_switching_preflight_on_does_not_measure_a_candidate_on_trial() -> None:
    world = fleet(preflight=None)
    world.run(60)
    assert world.status["candidateRevision"] == world.target()
    world.change(preflight=EVERY_CAMERA)
    world.run(300)
    assert world.status["stableRevision"] == world.target()
    assert world.preflights_started == []


def test_switched_off_the_rollout_begins_and_the_jobs_end() -> None:
    world = fleet(target_outcome=dict.fromkeys(("camera-1", "camera-2", "camera-3"), "hangs"))
    until_preflight(world)
    world.change(preflight=None)
    world.step()
    assert not world.preflights
    world.run(300)
    assert world.status["stableRevision"] == world.target()
    assert world.status["preflight"] is None


def test_a_superseded_candidate_is_no_longer_measured() -> None:
    world = fleet()
    until_preflight(world)
    (start,) = world.preflights_started
    world.new_source("b")
    decision = world.step()
    assert DeleteJob(start.name) in decision.actions
    assert not world.preflights
    world.run(400)
    assert world.status["stableRevision"] == world.target()


def test_a_candidate_that_returns_after_another_is_not_measured_again() -> None:
    world = fleet()
    world.run(400)
    world.new_source("b")
    world.run(45)
    name = world.target()
    assert world.status["preflight"]["revision"] == name
    world.new_source("c")
    world.run(45)
    world.new_source("b")
    world.run(300)
    assert world.status["stableRevision"] == name
    assert world.status["preflight"]["revision"] == name
    assert [start.revision.name for start in world.preflights_started].count(name) == 1


def test_preflight_makes_no_revision() -> None:
    plain, checked = parse_spec(model_spec()), parse_spec(model_spec(preflight=EVERY_CAMERA))
    assert plain.preflight is None
    assert checked.preflight is not None
    assert plain.revision_hash == checked.revision_hash
    assert plain.attempt_hash == checked.attempt_hash


def test_both_statuses_are_what_the_schema_takes() -> None:
    world = fleet(1, target_outcome={"arm-1": measured(p50="99")})
    world.add_node("arm-1", "arm64")
    world.run(100)
    for status in world.history:
        VALIDATOR.validate({key: value for key, value in status.items() if value is not None})
    crd = manifests.read(Path("crds/edgemodelrevisions.edgemodel.io.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    schema = _closed(version["schema"]["openAPIV3Schema"]["properties"]["status"])
    (revision,) = world.revisions.values()
    jsonschema.Draft202012Validator(schema).validate({"preflight": to_api(revision.preflight)})


# --- the Job ---


def made(**spec: Any) -> tuple[Simulation, dict[str, Any], dict[str, Any]]:
    """Returns (world, preflight Job, DaemonSet of the same variant)."""
    world = fleet(1, **({"preflight": spec.pop("preflight")} if "preflight" in spec else {}))
    world.change(**spec)
    until_preflight(world)
    (start,) = world.preflights_started
    observation = world.observe()
    job = objects.preflight_job(observation, start)
    return world, job, objects.daemonset(observation, start.revision, start.variant)


def test_the_job_runs_the_very_image_that_would_serve_with_its_resources_and_its_tuning() -> None:
    _, job, daemonset = made(
        serving={"resources": {"limits": {"memory": "64Mi"}}, "tuning": {"intraOpThreads": 2, "memoryArena": "Off"}}
    )
    (mine,) = job["spec"]["template"]["spec"]["containers"]
    (server,) = daemonset["spec"]["template"]["spec"]["containers"]
    for field in ("image", "resources", "securityContext", "imagePullPolicy"):
        assert mine[field] == server[field]
    assert "@sha256:" in mine["image"]
    tuned = [item for item in server["env"] if item["name"] in serving.TUNING.values()]
    assert mine["env"] == tuned
    assert len(tuned) == 2


def test_its_pod_is_as_restricted_as_a_servers_and_tolerates_what_that_tolerates() -> None:
    tolerations = [{"key": "edge", "operator": "Exists"}]
    _, job, daemonset = made(placement={"nodeSelector": {"edge": "camera"}, "tolerations": tolerations})
    mine, server = job["spec"]["template"]["spec"], daemonset["spec"]["template"]["spec"]
    for field in ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "imagePullSecrets"):
        assert mine[field] == server[field]
    assert mine["tolerations"] == tolerations
    assert "volumes" not in mine


def test_it_runs_once_on_its_node_within_its_deadline_and_goes_with_its_revision() -> None:
    world, job, _ = made(preflight={**EVERY_CAMERA, "deadlineSeconds": 77})
    pod = job["spec"]["template"]["spec"]
    assert (job["spec"]["backoffLimit"], pod["restartPolicy"], pod["activeDeadlineSeconds"]) == (0, "Never", 77)
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["camera-1"]}]
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("EdgeModelRevision", world.target())
    assert job["spec"]["ttlSecondsAfterFinished"] > 3600


def test_no_network_traffic_reaches_or_leaves_it() -> None:
    world, job, _ = made()
    labels = job["spec"]["template"]["metadata"]["labels"]
    observation = world.observe()
    assert not objects.service(observation, 8080)["spec"]["selector"].items() <= labels.items()
    mine = [
        policy["spec"]
        for policy in objects.network_policies(observation)
        if policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]
    assert [(spec["ingress"], spec["egress"]) for spec in mine] == [([], [])]


def test_its_name_fits_a_label_for_the_longest_revision() -> None:
    world, _, _ = made()
    (start,) = world.preflights_started
    assert len(start.name) - len(world.target()) + 51 <= 63


# --- how it ended ---

AT = "2026-01-01T00:01:00Z"
FAILED = {"type": "Failed", "status": "True", "lastTransitionTime": AT}


def ended(**pod_status: Any) -> Any:
    meta = {"name": "m-x-1", "namespace": "vision", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    job = {"kind": "Job", "metadata": meta, "status": {"conditions": [FAILED]}}
    spec = {"activeDeadlineSeconds": 30, "containers": [{"resources": {"limits": {"memory": "64Mi"}}}]}
    labels = {LABEL_COMPONENT: COMPONENT_PREFLIGHT}
    pod_meta = {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels}
    return preflight_job(read_job(job), read_job_pod({"metadata": pod_meta, "spec": spec, "status": pod_status}))


def terminated(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "preflight", "state": {"terminated": state}}]


def test_its_report_is_read_from_the_termination_message() -> None:
    message = preflight_report.encode(measured()).decode()
    assert ended(containerStatuses=terminated(message=message, exitCode=0)).report == measured()


def test_killed_for_memory_it_names_the_servers_limit() -> None:
    reason, message = ended(containerStatuses=terminated(reason="OOMKilled", exitCode=137)).trouble
    assert reason == reasons.OUT_OF_MEMORY
    assert message == "the preflight was killed at 64Mi of memory; raise spec.serving.resources.limits.memory"


def test_past_its_deadline_it_names_the_deadline() -> None:
    reason, message = ended(phase="Failed", reason="DeadlineExceeded").trouble
    assert reason == reasons.DEADLINE_EXCEEDED
    assert message == "the preflight took longer than spec.preflight.deadlineSeconds (30 s)"


def test_a_missing_image_at_the_deadline_is_reported() -> None:
    """The pod's status is that of a kubelet 1.34."""
    unknown = terminated(reason="ContainerStatusUnknown", exitCode=137, startedAt=None, finishedAt=None)
    reason, message = ended(phase="Failed", reason="DeadlineExceeded", containerStatuses=unknown).trouble
    assert reason == reasons.IMAGE_PULL_FAILED
    assert "kubectl describe job m-x-1" in message


def test_a_container_that_began_and_was_ended_by_the_deadline_had_its_image() -> None:
    killed = terminated(reason="Error", exitCode=137, startedAt=AT, finishedAt=AT)
    assert ended(phase="Failed", reason="DeadlineExceeded", containerStatuses=killed).trouble[0] == (
        reasons.DEADLINE_EXCEEDED
    )


def test_a_crash_is_its_own_and_an_eviction_is_not() -> None:
    crash = terminated(reason="Error", exitCode=132)
    assert ended(containerStatuses=crash).crashed == "exit code 132"
    assert ended(containerStatuses=crash, reason="Evicted").crashed == ""
    assert ended().crashed == ""
