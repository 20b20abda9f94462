"""Rollouts while something breaks: each test has the lab to itself.

The order matters, because a kubelet, or any other client of the API server, comes back the later the longer it was
away: tests that cut links, and the API server, come last.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgemodel import reasons
from edgemodel.names import pin_key
from edgemodel.spec import parse_spec
from examples import lab
from examples.lab import serving
from examples.lab.site import SYSTEM_NAMESPACE, Site, SiteError
from tests.support.edge_models import QUICK, Workspace, publish_mlp
from tests.support.live import (
    ALL,
    CAMERAS,
    ERRORS,
    GOLDEN,
    LATENCY,
    SOAK,
    checks,
    clients,
    cut_off,
    events,
    order_of_switching,
    server_pods,
    stable,
    under_load,
)
from tests.support.pins import pins_of_nodes

pytestmark = pytest.mark.exclusive

EVERYWHERE = {"nodeSelector": {"kubernetes.io/os": "linux"}}
HOLD_SECONDS = 16
KILLER = Path(__file__).parents[1] / "support" / "killer.py"


def scale(site: Site, deployment: str, replicas: int) -> None:
    """Scales the Deployment, and waits until that is done."""
    name = f"deployment/edgemodel-{deployment}"
    site.kubectl("scale", name, f"--replicas={replicas}", "-n", SYSTEM_NAMESPACE)
    if replicas:
        site.kubectl("rollout", "status", name, "-n", SYSTEM_NAMESPACE, "--timeout=90s")
        return
    selector = f"app.kubernetes.io/component={deployment}"
    site.kubectl("wait", "pod", "-l", selector, "--for=delete", "-n", SYSTEM_NAMESPACE, "--timeout=90s")


@contextmanager
def without(work: Workspace, deployment: str) -> Iterator[None]:
    scale(work.site, deployment, 0)
    work.recorder.mark(f"{deployment} is down")
    try:
        yield
    finally:
        scale(work.site, deployment, 1)
        work.recorder.mark(f"{deployment} is back")


def test_when_all_nodes_become_slow_together_the_rollout_holds(work: Workspace) -> None:
    first = stable(work, analysis=checks(LATENCY))
    with under_load(work, baseline=200, per_second=20):
        work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**SOAK, "soakSeconds": 8})
        work.reconciling(reasons.SOAKING)
        work.recorder.catch_up()
        before = len(work.recorder.pin_moves())
        try:
            for node in CAMERAS:
                lab.slow(node, 0.03)
            work.recorder.mark("the pods of both cameras share 3 % of a processor each")
            message = work.reconciling(reasons.CONTROL_DEGRADED, seconds=180)
            assert "nodes that still run stable" in message
            assert work.recorder.pin_moves_within(HOLD_SECONDS) == []
            status = work.get()["status"]
            assert not status["rejectedRevisions"]
            assert status["stableRevision"] == first
            assert status["candidateRevision"]
            work.recorder.catch_up()
            assert work.recorder.pin_moves()[before:] == []
        finally:
            for node in CAMERAS:
                lab.slow(node, None)
        work.recorder.mark("all processors are free again")
        with clients(work, per_second=60):  # the slow answers have to become a small share of all
            second = work.ready(seconds=420)["status"]["stableRevision"]
    assert second != first


def test_prometheus_down_for_a_whole_wave_holds_and_the_rollout_resumes(work: Workspace) -> None:
    stable(work, analysis=checks(ERRORS))
    with under_load(work):
        with without(work, "prometheus"):
            work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 2})
            message = work.reconciling(reasons.METRICS_UNAVAILABLE)
            assert "waits for errors" in message
            status = work.get()["status"]
            assert status["rollout"]["heldSince"]
            assert status["nodes"]["candidate"] == 1
            assert not status["rejectedRevisions"]
        second = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second)


def operator_environment(site: Site) -> dict[str, str]:
    """Returns the operator's variables from the chart, with an address of Prometheus that the control plane reaches."""
    container = site.get("deployment", "edgemodel-operator", "-n", SYSTEM_NAMESPACE)["spec"]["template"]["spec"][
        "containers"
    ][0]
    told = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    selector = "app.kubernetes.io/component=prometheus"
    (pod,) = site.get("pods", "-n", SYSTEM_NAMESPACE, "-l", selector)["items"]
    return {
        **told,
        "EDGEMODEL_OPERATOR_NAMESPACE": SYSTEM_NAMESPACE,
        "EDGEMODEL_PROMETHEUS_URL": f"http://{pod['status']['podIP']}:9090",
        "HOSTNAME": "killed-operator",
        "PYTHONPATH": site.environment["PYTHONPATH"],
    }


@contextmanager
def killed_at_every_write(work: Workspace) -> Iterator[list[dict[str, Any]]]:
    """Runs the operator beside the API server instead of in its pod, kills it at each write, and yields the kills."""
    slice_of_ours = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "killed-operator",
            "namespace": SYSTEM_NAMESPACE,
            "labels": {"kubernetes.io/service-name": "edgemodel-operator"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "token", "port": 8082}],
        "endpoints": [{"addresses": [lab.CONTROL_PLANE_ADDRESS]}],
    }
    environment = work.folder / "environment.json"
    environment.write_text(json.dumps(operator_environment(work.site)))
    log = work.folder / "operators.log"
    api = f"{lab.CONTROL_PLANE_ADDRESS}:{lab.API_PORT}"
    words = [sys.executable, KILLER, "--api", api, "--pki", lab.PKI, "--environment", environment, "--log", log]
    kills: list[dict[str, Any]] = []
    with without(work, "operator"):
        work.site.kubectl("apply", "-f", "-", stdin=json.dumps(slice_of_ours))
        process = lab.control_plane_start(words, stdout=subprocess.PIPE)
        try:
            yield kills
        finally:
            process.terminate()
            said, _ = process.communicate(timeout=30)
            kills += [json.loads(line) for line in said.splitlines()]
            print("killed at", *(f"{kill['when']} {kill['write']}" for kill in kills), sep="\n")
            print(f"the operators' log ends with\n{log.read_text()[-3000:]}")
            work.site.kubectl("delete", "endpointslice", "killed-operator", "-n", SYSTEM_NAMESPACE)


def test_an_operator_that_is_killed_at_every_write_switches_nothing_twice_and_forgets_nothing(work: Workspace) -> None:
    """It is a complete rollout with its rollback: the compression, a canary that fails its check, every node back on
    stable."""
    first = stable(work, analysis=checks(ERRORS))
    work.recorder.catch_up()
    before = len(work.recorder.pin_moves())
    with under_load(work, "--odd-one-in", "10"), killed_at_every_write(work) as kills:
        work.apply(source={"uri": publish_mlp(work, "fragile", fails_beyond=5.0)}, rollout=SOAK)
        message = work.stalled(reasons.ROLLED_BACK, seconds=480)
        rejected = work.get()["status"]["rejectedRevisions"][0]["name"]

        def told() -> bool:
            revision = work.site.get("edgemodelrevision", rejected, "-n", work.namespace)
            return bool((revision.get("status") or {}).get("verdict") == "Fail")

        work.wait("the revision to be told, the last write", told, 120)
        work.wait("every camera to serve stable alone", lambda: _on(work, first), 60)
        work.wait("the rollback to be told as an event", lambda: events(work, reasons.ROLLED_BACK), 60)
    assert "% of requests failed" in message
    writes = {kill["write"].split("?")[0] for kill in kills if kill["when"] == "after"}
    for kind in ("jobs", "edgemodelrevisions", "daemonsets", "nodes", "status"):
        assert any(kind in write for write in writes), kind
    assert len(kills) >= 24
    work.recorder.catch_up()
    moves = [(move.node, move.pin, move.is_set) for move in work.recorder.pin_moves()[before:]]
    assert len(moves) == len(set(moves)), "a node was switched twice"
    status = work.get()["status"]
    assert status["stableRevision"] == first
    assert [item["reason"] for item in status["rejectedRevisions"]] == [reasons.ERROR_RATE_TOO_HIGH]
    assert _on(work, first)
    (event,) = events(work, reasons.ROLLED_BACK)
    assert event["message"].startswith(f"{rejected} rejected: {reasons.ERROR_RATE_TOO_HIGH}: ")
    assert len(work.site.get("jobs", "-n", work.namespace)["items"]) <= 2


def test_an_operator_that_is_killed_resumes_where_it_stopped(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    work.ready()
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**QUICK, "soakSeconds": 20})
    work.reconciling(reasons.SOAKING)
    for _ in range(3):
        selector = "app.kubernetes.io/component=operator"
        work.site.kubectl("delete", "pod", "-n", SYSTEM_NAMESPACE, "-l", selector, "--force", "--grace-period=0")
        name = "deployment/edgemodel-operator"
        work.site.kubectl("rollout", "status", name, "-n", SYSTEM_NAMESPACE, "--timeout=60s")
    second = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second)
    assert all(len(pins) >= 1 for pins in pins_of_nodes(work.site, CAMERAS).values())


def test_with_one_node_of_three_offline_the_rollout_completes_and_the_node_gets_stable_and_catches_up(
    work: Workspace,
) -> None:
    work.apply(placement=EVERYWHERE, source={"uri": publish_mlp(work, "first")})
    first = work.ready()["status"]["stableRevision"]
    with cut_off(work, "camera-2"):
        work.wait("camera-2 to be seen offline", lambda: work.get()["status"]["nodes"]["offline"] == 1)
        work.recorder.catch_up()
        before = len(work.recorder.pin_moves())
        work.apply(source={"uri": publish_mlp(work, "second", 7)})
        model = work.ready()
        second = model["status"]["stableRevision"]
        pending = serving.condition(model, "NodesPending")
        assert pending is not None
        assert "camera-2" in pending["message"]
        assert work.revisions_on_nodes() == dict.fromkeys(("camera-1", "gateway-1"), second)
        work.recorder.catch_up()
        assert "camera-2" not in {move.node for move in work.recorder.pin_moves()[before:]}
        work.apply(source={"uri": publish_mlp(work, "third", 9)}, rollout={**QUICK, "soakSeconds": 300})
        work.reconciling(reasons.SOAKING)
        work.recorder.mark("a third revision is on trial; camera-2 comes back")
    work.wait("camera-2 to serve stable", lambda: "camera-2" in _serve(work, second), 120)
    # Its kube-proxy may not know that pod yet.
    work.wait("the pod before to serve beside it", lambda: "camera-2" in _serve(work, first), 30)
    work.wait("nothing to be pending", lambda: serving.condition(work.get(), "NodesPending") is None)
    work.wait("the pod before to be gone", lambda: not _serve(work, first), 120)
    work.apply(rollout=QUICK)
    third = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(ALL, third)


def test_with_one_node_allowed_to_fail_the_others_get_the_candidate_and_the_lost_canary_is_named(
    work: Workspace,
) -> None:
    work.apply(placement=EVERYWHERE, source={"uri": publish_mlp(work, "first")})
    first = work.ready()["status"]["stableRevision"]
    limits = {**QUICK, "nodeReadyTimeoutSeconds": 15, "maxFailedNodes": 1}
    wanted = {"source": {"uri": publish_mlp(work, "second", 7)}, "rollout": {**limits, "soakSeconds": 600}}
    canary = "camera-1"  # a node that was away recently would keep the earlier pod beside it
    apply_with_first(canary, ALL, work, wanted)
    work.reconciling(reasons.SOAKING)
    second = work.get()["status"]["candidateRevision"]
    others = {node for node in ALL if node != canary}
    assert work.revisions_on_nodes() == {canary: second, **dict.fromkeys(others, first)}
    with cut_off(work, canary):
        work.wait(f"{canary} to be counted", lambda: work.get()["status"]["nodes"]["failed"] == 1, 120)
        nodes = work.get()["status"]["nodes"]
        assert nodes["notReady"] == [canary]
        work.apply(rollout={**limits, "retryToken": work.applied["m"]["rollout"]["retryToken"]})
        model = work.ready()
        assert model["status"]["stableRevision"] == second
        assert not model["status"]["rejectedRevisions"]
        assert model["status"]["nodes"]["notReady"] == [canary]
        pending = serving.condition(model, "NodesPending")
        assert pending is not None
        assert canary in pending["message"]
        on_nodes = work.revisions_on_nodes()
        assert {node: on_nodes[node] for node in others} == dict.fromkeys(others, second)
        work.apply(rollout={**work.applied["m"]["rollout"], "maxFailedNodes": 0})
        work.ready()
        work.recorder.catch_up()
        before = len(work.recorder.seen)
    work.wait("all nodes to serve it", lambda: work.revisions_on_nodes() == dict.fromkeys(ALL, second), 120)
    work.recorder.catch_up()
    told = [seen.condition("Ready") for seen in work.recorder.seen[before:]]
    assert {ready["reason"] for ready in told} <= {reasons.SERVING, reasons.NODES_CATCHING_UP}, told


def apply_with_first(canary: str, nodes: tuple[str, ...], work: Workspace, wanted: dict[str, Any]) -> None:
    """Applies a spec whose revision has ``canary`` as the first of ``nodes``.

    The order depends on the revision's name, and that on the retry token.
    """
    for token in map(str, range(100)):
        spec = {**work.applied["m"], **wanted, "rollout": {**wanted["rollout"], "retryToken": token}}
        if order_of_switching(work, f"m-{parse_spec(spec).revision_hash}", nodes)[0] == canary:
            work.apply(**spec)
            return
    raise AssertionError(f"with none of a hundred tokens {canary} is the first")


def test_a_rollback_needs_no_download_and_no_prometheus_and_reaches_a_node_that_is_offline(work: Workspace) -> None:
    first = stable(work)
    quick = {**QUICK, "nodeReadyTimeoutSeconds": 20}
    work.apply(source={"uri": publish_mlp(work, "second", 7)}, rollout={**quick, "bakeSeconds": 3600})
    work.reconciling(reasons.BAKING)
    second = work.get()["status"]["candidateRevision"]
    # Nodes that were away before this test keep the earlier pod for a while.
    work.wait("both cameras to serve the second alone", lambda: _on(work, second), 120)
    with without(work, "prometheus"), without(work, "registry"):
        with cut_off(work, "camera-2"):
            message = work.stalled(reasons.ROLLED_BACK)
            assert "node camera-2 went offline after its switch" in message
            assert "; 1 of 2 nodes failed, limit 0" in message
            work.recorder.catch_up()
            counted = [seen.status["nodes"] for seen in work.recorder.seen if seen.status.get("rejectedRevisions")]
            assert counted[0]["failed"] == 1
            assert counted[0]["notReady"] == ["camera-2"]
            back = {pin_key(work.namespace, "m", first, "default")}
            ours = back | {pin_key(work.namespace, "m", second, "default")}
            work.wait(
                "the pins of both cameras to be stable's, also of the one that is offline",
                lambda: all(pins & ours == back for pins in pins_of_nodes(work.site, CAMERAS).values()),
            )
            work.recorder.mark("both pins are stable's; camera-2 is still offline")
            work.wait("camera-1 to serve stable", lambda: work.revisions_on_nodes() == {"camera-1": first})
        work.wait("camera-2 to serve stable when it is back", lambda: _on(work, first), 120)


def test_an_api_server_that_is_down_for_a_minute_and_forgets_its_history_changes_nothing(work: Workspace) -> None:
    first = stable(work, analysis=checks(ERRORS, GOLDEN))
    work.recorder.catch_up()
    before = len(work.recorder.pin_moves())
    with under_load(work) as load:
        # Watches reconnect to an API server that was away within minutes, and no kubelet starts a pod until then.
        patient = {**SOAK, "soakSeconds": 90, "nodeReadyTimeoutSeconds": 600}
        wanted = {"source": {"uri": publish_mlp(work, "second", 7)}, "rollout": patient}
        apply_with_first(
            "camera-1", CAMERAS, work, wanted
        )  # camera-2 was away recently, and would keep its earlier pod
        work.reconciling(reasons.SOAKING)
        second = work.get()["status"]["candidateRevision"]
        # No kube-proxy learns of a pod that ends while the API server is away.
        work.wait("the canary's old pod to be gone", lambda: len(server_pods(work)) == len(CAMERAS), 120)
        assert _serving(work) == {("camera-1", second), ("camera-2", first)}
        watched_from = version_of_the_list(work.site)
        work.site.kubectl("annotate", "namespace", work.namespace, "a-write=after-it")
        program = running_operator(work.site)
        # A node's kube-proxy may reconnect to the API server minutes after its kubelet; here it always does.
        with lab.stale_services(*CAMERAS):
            with lab.without_api():
                work.recorder.mark("the API server is dead")
                assert load.goes_on_for(60)
            work.recorder.mark("the API server is back, its history compacted")
            assert load.goes_on_for(100)
            work.recorder.mark(f"kube-proxies come back; serve the second: {sorted(_serve(work, second))}")
        assert work.ready(seconds=300)["status"]["stableRevision"] == second
        work.wait("both cameras to serve it alone, also one that was called lost", lambda: _on(work, second), 120)
    for saw in load.stop().values():
        assert saw["failed"] == 0, saw["failures"]
    assert not work.get()["status"]["rejectedRevisions"]
    work.recorder.catch_up()
    pins = work.recorder.pins
    moves = [(move.node, pins[move.pin][0], move.is_set) for move in work.recorder.pin_moves()[before:]]
    assert sorted(moves) == sorted(move for node in CAMERAS for move in ((node, second, True), (node, first, False)))
    # An earlier watch is refused; the operator is the same process, watches, and sees two changes of the spec, of
    # which its relist every five minutes could show one at most.
    assert refused_as_too_old(work.site, watched_from)
    assert running_operator(work.site) == program
    assert api_server_counts(work.site, "apiserver_longrunning_requests", "WATCH") >= 1
    assert api_server_counts(work.site, "apiserver_request_total", "LIST") >= 1
    for bake in (2, 3):
        work.apply(rollout={**work.applied["m"]["rollout"], "bakeSeconds": bake})
        work.wait("the change to be seen", lambda: _is_observed(work.get()), 60)
    work.wait("all nodes to be Ready again", lambda: lab.status().healthy, 120)


def _serving(work: Workspace) -> set[tuple[str, str]]:
    """Returns the (node, revision) of every ready pod that is not terminating."""
    return {
        (pod["spec"]["nodeName"], pod["metadata"]["labels"]["edgemodel.io/revision"])
        for pod in server_pods(work)
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    }


def _serve(work: Workspace, revision: str) -> set[str]:
    """Returns the nodes with a ready pod of ``revision``, whatever else they have."""
    return {node for node, served in _serving(work) if served == revision}


def _is_observed(model: dict[str, Any]) -> bool:
    return bool(model["status"]["observedGeneration"] == model["metadata"]["generation"])


ALL_EDGE_MODELS = "/apis/edgemodel.io/v1alpha1/edgemodels"


def version_of_the_list(site: Site) -> str:
    """Returns the resourceVersion at which a watch of all EdgeModels would begin now."""
    return str(json.loads(site.get_raw(f"{ALL_EDGE_MODELS}?limit=1"))["metadata"]["resourceVersion"])


def refused_as_too_old(site: Site, version: str) -> bool:
    """Returns whether the API server answers 410 to a watch of all EdgeModels from ``version`` on."""
    path = f"{ALL_EDGE_MODELS}?watch=true&timeoutSeconds=2&resourceVersion={version}"
    try:
        told = site.get_raw(path)
    except SiteError as error:
        told = str(error)
    print(f"a watch from {version} on is told: {told[:300]}")
    return "too old resource version" in told or '"code":410' in told


def running_operator(site: Site) -> tuple[str, int]:
    """Returns the uid of the operator's pod, and the number of restarts of its container."""
    (pod,) = site.get("pods", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=operator")["items"]
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def api_server_counts(site: Site, metric: str, verb: str) -> float:
    """Returns the number of requests about all EdgeModels, which only the operator makes, since the API server
    started."""
    wanted = ('resource="edgemodels"', 'scope="cluster"', f'verb="{verb}"')
    lines = [
        line
        for line in site.get_raw("/metrics").splitlines()
        if line.startswith(f"{metric}{{") and all(label in line for label in wanted)
    ]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def _on(work: Workspace, revision: str) -> bool:
    return _serving(work) == {(node, revision) for node in CAMERAS}
