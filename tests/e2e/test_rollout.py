"""Rollouts on real nodes: waves, updates under load, variants, catch-up, and rules that depend on the network."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgemodel import reasons
from edgemodel.names import pin_key
from examples import lab
from examples.lab import serving
from tests.support import tiny_models
from tests.support.edge_models import QUICK, Workspace, publish_mlp
from tests.support.live import CAMERAS, clients, order_of_switching, server_pods
from tests.support.pins import pins_of_nodes
from tests.support.recorder import Seen
from tests.support.watching import Watch

LOAD = Path(__file__).parents[1] / "support" / "load.py"


def cluster_ip(work: Workspace, name: str = "m") -> str:
    return str(work.site.get("service", name, "-n", work.namespace)["spec"]["clusterIP"])


def load(work: Workspace, node: str, seconds: float, connections: int) -> dict[str, Any]:
    """Returns the results of ``connections`` clients on ``node`` that sent requests to the model's Service for
    ``seconds``."""
    argv = [sys.executable, str(LOAD), cluster_ip(work), "8080", "m", str(seconds), str(connections)]
    done = lab.node_exec(node, argv, capture_output=True, check=True, timeout=seconds + 60)
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_answers_are_bit_for_bit_those_of_plain_onnxruntime_when_no_step_was_applied(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "plain")})
    work.ready()
    x = np.random.default_rng(5).standard_normal((3, tiny_models.FEATURES)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(str(work.folder / "plain.onnx")).run(None, {"x": x})
    request = {"inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.flatten().tolist()}]}
    for node in CAMERAS:
        argv = ["curl", "-sS", "--max-time", "10", "-d", "@-", f"http://{cluster_ip(work)}:8080/v2/models/m/infer"]
        done = lab.node_exec(node, argv, input=json.dumps(request), capture_output=True, check=True)
        (output,) = json.loads(done.stdout)["outputs"]
        assert np.array(output["data"], dtype=np.float32).tobytes() == np.asarray(expected).tobytes()


def test_a_candidate_that_would_break_callers_waits_until_the_spec_accepts_its_signature(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": publish_mlp(work, "renamed", 7, output="scores")})
    message = work.stalled(reasons.SIGNATURE_CHANGED)
    assert "output 'y' is called 'scores' now" in message
    assert set(work.revisions_on_nodes().values()) == {first}
    work.apply(rollout={**QUICK, "acceptSignature": message.rsplit(" ", 1)[1]})
    second = work.ready()["status"]["stableRevision"]
    assert second != first
    assert set(work.revisions_on_nodes().values()) == {second}


def test_not_one_request_fails_while_nodes_switch(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    second_uri = publish_mlp(work, "second", 7)
    with clients(work, per_second=50, connections=4) as asked:
        work.apply(source={"uri": second_uri})
        second = work.ready()["status"]["stableRevision"]
        work.wait(
            "the pods before to be gone",
            lambda: {pod["metadata"]["labels"]["edgemodel.io/revision"] for pod in server_pods(work)} == {second},
        )
    for result in asked.stop().values():
        assert result["failed"] == 0, result["failures"]
        assert set(result["versions"]) == {first, second}


def test_recreate_switches_nodes_that_are_too_small_for_two_pods(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)}, serving={"strategy": "Recreate"})
    work.ready()
    work.apply(source={"uri": publish_mlp(work, "second", 7)})
    second = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second)


def test_each_variant_gets_its_own_steps_and_pods(work: Workspace) -> None:
    step = {"name": "int8", "type": "QuantizeDynamic"}
    work.apply(
        source={"uri": publish_mlp(work, "plain")},
        placement={"nodeSelector": {"kubernetes.io/os": "linux"}},
        variants=[{"name": "small", "nodeSelector": {"edge": "gateway"}, "compression": {"steps": [step]}}],
    )
    model = work.ready()
    variants = {node: pod["metadata"]["labels"]["edgemodel.io/variant"] for node, pod in work.pods().items()}
    assert variants == {"camera-1": "default", "camera-2": "default", "gateway-1": "small"}
    digests = {artifact["variant"]: artifact["digest"] for artifact in model["status"]["artifacts"]}
    assert digests["small"] != digests["default"]


def test_a_newer_spec_supersedes_a_rollout_and_a_return_to_stable_ends_it(work: Workspace) -> None:
    first_uri = publish_mlp(work, "first", 1)
    work.apply(source={"uri": first_uri})
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 600})
    work.reconciling(reasons.SOAKING)
    assert len(set(work.revisions_on_nodes().values())) == 2
    work.apply(source={"uri": first_uri}, rollout=QUICK)
    assert work.ready()["status"]["stableRevision"] == first
    work.wait("only the stable revision to run", lambda: set(work.revisions_on_nodes().values()) == {first})
    work.apply(source={"uri": publish_mlp(work, "third", 9)})
    third = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, third)


def test_a_third_spec_supersedes_a_second_that_soaks_and_the_second_is_never_tried_again(
    work: Workspace,
) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    third_uri = publish_mlp(work, "third", 9)
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 600})
    work.reconciling(reasons.SOAKING)
    second = work.get()["status"]["candidateRevision"]
    (canary,) = (node for node, revision in work.revisions_on_nodes().items() if revision == second)
    work.recorder.mark("the third spec is applied")
    work.apply(source={"uri": third_uri}, rollout=QUICK)
    third = work.ready()["status"]["stableRevision"]
    assert len({first, second, third}) == 3
    work.wait("the third to serve alone", lambda: work.revisions_on_nodes() == dict.fromkeys(CAMERAS, third))
    work.recorder.catch_up()
    pins = work.recorder.pins
    of_second = [(move.node, move.is_set) for move in work.recorder.pin_moves() if pins[move.pin][0] == second]
    assert of_second == [(canary, True), (canary, False)]
    on_trial = [seen.status.get("candidateRevision") for seen in work.recorder.seen]
    assert second not in on_trial[on_trial.index(third) :]
    assert not work.get()["status"]["rejectedRevisions"]


def test_a_node_that_is_relabelled_joins_and_leaves(work: Workspace) -> None:
    label = f"test-{work.namespace[-5:]}"
    work.site.kubectl("label", "node", "camera-1", f"{label}=yes")
    try:
        work.apply(source={"uri": publish_mlp(work, "plain")}, placement={"nodeSelector": {label: "yes"}})
        work.ready()
        assert set(work.pods()) == {"camera-1"}
        work.site.kubectl("label", "node", "gateway-1", f"{label}=yes")
        work.wait("the new node to serve", lambda: set(work.pods()) == {"camera-1", "gateway-1"})
        work.site.kubectl("label", "node", "camera-1", f"{label}-")
        work.wait("the node that left to stop", lambda: set(work.pods()) == {"gateway-1"})
    finally:
        for node in ("camera-1", "gateway-1"):
            work.site.kubectl("label", "node", node, f"{label}-")


def test_a_change_of_the_serving_template_rolls_out_without_a_second_job_and_to_a_control_after_the_bake(
    work: Workspace,
) -> None:
    work.apply(source={"uri": publish_mlp(work, "plain")})
    work.ready()
    larger = {"resources": {"requests": {"memory": "80Mi"}, "limits": {"memory": "400Mi"}}}
    work.apply(serving=larger, rollout={**QUICK, "bakeSeconds": 3, "controlNodes": 1})
    second = work.ready()["status"]["stableRevision"]
    work.recorder.catch_up()
    tried = [seen for seen in work.recorder.seen if seen.status.get("candidateRevision") == second]
    baking = next(seen for seen in tried if seen.status["rollout"]["reason"] == reasons.BAKING)
    assert baking.status["rollout"]["controlNodes"] == 1
    assert baking.status["nodes"]["candidate"] == 1
    assert "1 node stays on stable until the bake is through" in baking.condition("Ready")["message"]
    assert "controlNodes" not in tried[-1].status["rollout"]
    released = [seen for seen in tried if "controlsReleasedAt" in seen.status["rollout"]]
    assert {seen.status["rollout"]["controlsReleasedAt"] for seen in released} == {
        tried[-1].status["rollout"]["controlsReleasedAt"]
    }
    assert moment(released[0], "controlsReleasedAt") - moment(baking, "waveStartedAt") >= timedelta(seconds=3)
    pins = work.recorder.pins
    switched = [move.node for move in work.recorder.pin_moves() if move.is_set and pins[move.pin][0] == second]
    assert switched == order_of_switching(work, second)
    assert len(work.site.get("jobs", "-n", work.namespace)["items"]) == 1
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in work.pods().values()]
    assert limits == ["400Mi", "400Mi"]


def test_kubectl_wait_and_the_printed_columns_follow_the_rollout(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "plain")})
    work.site.kubectl(
        "wait", "--for=condition=Ready", "edgemodel/m", "-n", work.namespace, "--timeout=180s", timeout=200
    )
    table = work.site.kubectl("get", "em", "-n", work.namespace)
    assert "True" in table
    assert reasons.SERVING in table
    assert "2/2" in table
    story = work.site.kubectl("describe", "em", "m", "-n", work.namespace)
    for reason in (reasons.COMPRESSING, reasons.ROLLING_OUT, reasons.SERVING):
        assert reason in story


def test_the_application_reaches_the_server_of_its_own_node(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "plain")})
    work.ready()
    for node in CAMERAS:
        found: list[dict[str, Any]] = []

        def all_answered(node: str = node, found: list[dict[str, Any]] = found) -> bool:
            found.append(load(work, node, 1.0, 2))
            return found[-1]["failed"] == 0

        work.wait("the node's kube-proxy to know its new server", all_answered, 30)
        pod = work.pods()[node]
        with serving.forwarded(work.site, work.namespace, f"pod/{pod['metadata']['name']}", 8080) as base:
            done = subprocess.run(["curl", "-sS", f"{base}/metrics"], capture_output=True, text=True, check=True)
        counted = [line for line in done.stdout.splitlines() if line.startswith("edgemodel_inference_requests_total{")]
        good = [line for line in counted if 'outcome="ok"' in line]
        assert all(f'node="{node}"' in line for line in good)
        assert sum(float(line.rsplit(" ", 1)[1]) for line in good) == sum(result["good"] for result in found)


def test_the_canary_is_the_node_that_the_order_of_this_revision_names(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 600})
    work.reconciling(reasons.SOAKING)
    second = work.get()["status"]["candidateRevision"]
    canary, other = order_of_switching(work, second)
    assert work.revisions_on_nodes() == {canary: second, other: first}


def test_a_removed_pin_is_set_again_and_a_foreign_pin_has_no_effect(work: Workspace) -> None:
    """The pin alone says what a node runs, and only the operator may set it."""
    work.apply(source={"uri": publish_mlp(work, "plain")})
    first = work.ready()["status"]["stableRevision"]
    pin = pin_key(work.namespace, "m", first, "default")
    work.site.kubectl("label", "node", "camera-1", f"{pin}-")
    work.wait("the pin to be back", lambda: pin in pins_of_nodes(work.site, ("camera-1",))["camera-1"])
    work.wait("both cameras to serve", lambda: set(work.pods()) == set(CAMERAS))
    stray = pin_key(work.namespace, "m", "m-0123456789", "default")
    work.site.kubectl("label", "node", "camera-1", f"{stray}=true")
    work.wait("a stray pin to be swept", lambda: stray not in pins_of_nodes(work.site, ("camera-1",))["camera-1"], 90)
    assert work.get()["status"]["stableRevision"] == first


def test_a_rejected_revision_is_tried_again_only_with_a_retry_token(work: Workspace) -> None:
    good, bad = publish_mlp(work, "good"), publish_mlp(work, "random", random_answers=True)
    work.apply(source={"uri": good})
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": bad})
    work.stalled(reasons.ROLLED_BACK)
    rejected = work.get()["status"]["rejectedRevisions"][0]["name"]
    work.apply(source={"uri": good})
    assert work.ready()["status"]["stableRevision"] == first
    work.recorder.catch_up()
    before = len(work.recorder.pin_moves())
    work.apply(source={"uri": bad})
    work.stalled(reasons.ROLLED_BACK)
    work.recorder.catch_up()
    assert work.recorder.pin_moves()[before:] == []
    work.apply(rollout={**QUICK, "retryToken": "once more"})
    work.wait(
        "the same artifact to be rejected once more under another name",
        lambda: len(work.get()["status"]["rejectedRevisions"]) == 2,
        120,
    )
    names = {item["name"] for item in work.get()["status"]["rejectedRevisions"]}
    (retried,) = names - {rejected}
    work.wait("stable to serve alone", lambda: set(work.revisions_on_nodes().values()) == {first})
    work.recorder.catch_up()
    tried = {work.recorder.pins[move.pin][0] for move in work.recorder.pin_moves()[before:] if move.is_set}
    assert tried == {retried}


def test_stable_moves_only_after_all_waves_and_the_bake_and_a_first_install_obeys_waves(work: Workspace) -> None:
    slow = {**QUICK, "soakSeconds": 3, "bakeSeconds": 3}
    with first_readiness(work) as ready_at:
        work.apply(source={"uri": publish_mlp(work, "first", 1)}, rollout=slow)
        first = work.ready()["status"]["stableRevision"]
        work.apply(source={"uri": publish_mlp(work, "second", 7)})
        second = work.ready()["status"]["stableRevision"]
    work.recorder.catch_up()
    for before, revision in (("", first), (first, second)):
        tried = [seen for seen in work.recorder.seen if seen.status.get("candidateRevision") == revision]
        assert {seen.status.get("stableRevision") or "" for seen in tried} == {before}
        stages = list(
            dict.fromkeys((seen.status["rollout"]["wave"], seen.status["rollout"]["reason"]) for seen in tried)
        )
        assert {wave for wave, _ in stages} == {0, 1}
        assert (0, reasons.SOAKING) in stages
        assert stages[-1] == (1, reasons.BAKING), f"{revision} became stable after {stages[-1]}"
        canary, other = order_of_switching(work, revision)
        next_wave = moment(next(seen for seen in tried if seen.status["rollout"]["wave"] == 1), "waveStartedAt")
        assert next_wave - ready_at[canary, revision] >= timedelta(seconds=3)
        promoted = next(
            ready["lastTransitionTime"]
            for seen in work.recorder.seen
            if (ready := seen.condition("Ready")).get("status") == "True" and seen.status["stableRevision"] == revision
        )
        assert datetime.fromisoformat(promoted) - ready_at[other, revision] >= timedelta(seconds=3)


@contextmanager
def first_readiness(work: Workspace) -> Iterator[dict[tuple[str, str], datetime]]:
    """Yields the time at which a server pod first became ready, by (node, revision)."""
    found: dict[tuple[str, str], datetime] = {}

    def see(pod: dict[str, Any]) -> None:
        for condition in pod["status"].get("conditions") or ():
            if condition["type"] == "Ready" and condition["status"] == "True":
                key = (pod["spec"]["nodeName"], pod["metadata"]["labels"]["edgemodel.io/revision"])
                found.setdefault(key, datetime.fromisoformat(condition["lastTransitionTime"]))

    with Watch(work.site, see, "pods", "-n", work.namespace, "-l", "app.kubernetes.io/component=server"):
        yield found


def moment(seen: Seen, name: str) -> datetime:
    """Returns the time ``name`` of ``status.rollout``."""
    return datetime.fromisoformat(seen.status["rollout"][name])
