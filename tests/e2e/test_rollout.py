"""Rollouts on real nodes: waves, updates under load, variants, catch-up, and where rules meet the network."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_operator.decide.placement import switch_order
from edgemodel import reasons
from edgemodel.names import pin_key
from tests import lab
from tests.support import serving, tiny_models
from tests.support.edge_models import QUICK, Workspace, pins_of_nodes, pins_watched, publish_mlp

LOAD = Path(__file__).parents[1] / "support" / "load.py"
CAMERAS = ("camera-1", "camera-2")


def cluster_ip(work: Workspace, name: str = "m") -> str:
    return str(work.site.get("service", name, "-n", work.namespace)["spec"]["clusterIP"])


def load(work: Workspace, node: str, seconds: float, connections: int = 4) -> dict[str, Any]:
    """What ``connections`` clients on ``node`` saw when they asked the model's Service for ``seconds``."""
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


def test_not_one_request_fails_while_nodes_switch(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    second_uri = publish_mlp(work, "second", 7)
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(load, work, node, 45.0) for node in CAMERAS]
        work.apply(source={"uri": second_uri})
        second = work.ready()["status"]["stableRevision"]
        seen = [result.result() for result in results]
    print(json.dumps(seen, indent=1))
    for result in seen:
        assert result["failed"] == 0, result["failures"]
        assert set(result["versions"]) == {first, second}


def test_recreate_switches_nodes_that_are_too_small_for_two(work: Workspace) -> None:
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


def test_a_newer_spec_supersedes_a_rollout_and_one_that_goes_back_ends_it(work: Workspace) -> None:
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


def test_a_change_of_the_serving_template_rolls_out_without_a_second_job(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "plain")})
    work.ready()
    work.apply(serving={"resources": {"requests": {"memory": "80Mi"}, "limits": {"memory": "400Mi"}}})
    work.ready()
    assert len(work.site.get("jobs", "-n", work.namespace)["items"]) == 1
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in work.pods().values()]
    assert limits == ["400Mi", "400Mi"]


def test_kubectl_wait_and_the_printed_columns_tell_the_story(work: Workspace) -> None:
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
        result = load(work, node, 1.0, 2)
        assert result["failed"] == 0
        pod = work.pods()[node]
        with serving.forwarded(work.site, work.namespace, f"pod/{pod['metadata']['name']}", 8080) as base:
            done = subprocess.run(["curl", "-sS", f"{base}/metrics"], capture_output=True, text=True, check=True)
        counted = [line for line in done.stdout.splitlines() if line.startswith("edgemodel_inference_requests_total{")]
        good = next(line for line in counted if 'outcome="ok"' in line)
        assert f'node="{node}"' in good
        assert float(good.rsplit(" ", 1)[1]) == result["good"]


def test_the_canary_is_the_node_that_the_order_of_this_revision_names(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 600})
    work.reconciling(reasons.SOAKING)
    model = work.get()
    second = model["status"]["candidateRevision"]
    uids = {node["metadata"]["name"]: node["metadata"]["uid"] for node in work.site.get("nodes")["items"]}
    ordered = sorted(CAMERAS, key=lambda node: switch_order(uids[node], model["metadata"]["uid"], second))
    assert work.revisions_on_nodes() == {ordered[0]: second, ordered[1]: first}


def test_a_pin_that_somebody_takes_away_is_set_again_and_one_that_somebody_adds_does_nothing(work: Workspace) -> None:
    """The pin is the only truth of what a node runs, and the operator alone says what it should be."""
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


def test_a_rejected_revision_is_entered_again_only_by_a_retry_token(work: Workspace) -> None:
    good, bad = publish_mlp(work, "good"), publish_mlp(work, "random", random_answers=True)
    work.apply(source={"uri": good})
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": bad})
    work.stalled(reasons.ROLLED_BACK)
    rejected = work.get()["status"]["rejectedRevisions"][0]["name"]
    work.apply(source={"uri": good})
    assert work.ready()["status"]["stableRevision"] == first
    with pins_watched(work.site) as switched:
        work.apply(source={"uri": bad})
        work.stalled(reasons.ROLLED_BACK)
        assert pin_key(work.namespace, "m", rejected, "default") not in {pin for _, pin in switched}
        work.apply(rollout={**QUICK, "retryToken": "once more"})
        work.wait(
            "the same artifact to be rejected once more under another name",
            lambda: len(work.get()["status"]["rejectedRevisions"]) == 2,
            120,
        )
        names = {item["name"] for item in work.get()["status"]["rejectedRevisions"]}
        (retried,) = names - {rejected}
        assert pin_key(work.namespace, "m", retried, "default") in {pin for _, pin in switched}
    assert set(work.revisions_on_nodes().values()) == {first}


def test_stable_moves_only_after_all_waves_and_the_bake_and_a_first_install_obeys_waves(work: Workspace) -> None:
    slow = {**QUICK, "soakSeconds": 3, "bakeSeconds": 3}
    work.apply(source={"uri": publish_mlp(work, "first", 1)}, rollout=slow)
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": publish_mlp(work, "second", 7)})
    second = work.ready()["status"]["stableRevision"]
    stages: list[tuple[str, int | None, str]] = []
    for seen in work.recorder.seen:
        ready = seen.condition("Ready")
        if ready:
            wave = (seen.status.get("rollout") or {}).get("wave")
            stages.append((seen.status.get("stableRevision") or "", wave, ready["reason"]))
    for before, revision in (("", first), (first, second)):
        mine = [(wave, reason) for stable, wave, reason in stages if stable == before and wave is not None]
        assert {0, 1} == {wave for wave, _ in mine}
        assert mine[-1] == (1, reasons.BAKING), f"{revision} became stable after {mine[-1]}"


@pytest.mark.exclusive
def test_an_offline_node_is_deferred_and_catches_up_when_it_returns(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    lab.cut("camera-2")
    try:
        work.wait("camera-2 to be seen offline", lambda: work.get()["status"]["nodes"]["offline"] == 1)
        work.apply(source={"uri": publish_mlp(work, "second", 7)})
        model = work.ready()
        second = model["status"]["stableRevision"]
        pending = serving.condition(model, "NodesPending")
        assert pending is not None
        assert "camera-2" in pending["message"]
        assert second != first
    finally:
        lab.join("camera-2")
    work.wait("camera-2 to catch up", lambda: work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second), 120)
    work.wait("nothing to be pending", lambda: serving.condition(work.get(), "NodesPending") is None)


@pytest.mark.exclusive
def test_a_node_that_is_lost_after_its_switch_condemns_the_candidate(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 600})
    work.reconciling(reasons.SOAKING)
    (switched,) = [node for node, revision in work.revisions_on_nodes().items() if revision != first]
    lab.cut(switched)
    try:
        message = work.stalled(reasons.ROLLED_BACK)
        assert switched in message
        assert "offline" in message
    finally:
        lab.join(switched)
    work.wait("both nodes to serve stable", lambda: work.revisions_on_nodes() == dict.fromkeys(CAMERAS, first), 120)


@pytest.mark.exclusive
def test_an_operator_that_is_killed_goes_on_where_it_was(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    work.ready()
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 5})
    for _ in range(3):
        work.site.kubectl(
            "delete",
            "pod",
            "-n",
            "edgemodel-system",
            "-l",
            "app.kubernetes.io/component=operator",
            "--force",
            "--grace-period=0",
        )
        work.site.kubectl(
            "rollout", "status", "deployment/edgemodel-operator", "-n", "edgemodel-system", "--timeout=60s"
        )
    second = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second)
    assert all(len(pins) >= 1 for node, pins in pins_of_nodes(work.site, CAMERAS).items())
