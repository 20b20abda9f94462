"""The parts of tests with judged rollouts: load on real nodes, Prometheus' data about it, and the end of a rollback."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from edge_operator.decide.placement.selection import switch_order
from edgemodel import reasons
from examples import lab
from examples.lab.site import SYSTEM_NAMESPACE
from tests.support.edge_models import QUICK, Workspace, publish_mlp

LOAD = Path(__file__).with_name("load.py")
CAMERAS = ("camera-1", "camera-2")
ALL = (*CAMERAS, "gateway-1")
SOAK = {**QUICK, "soakSeconds": 60, "bakeSeconds": 10}
"""The rollout settings with a soak that is long enough for a verdict on the canary."""
WARM_UP = {"warmUpSeconds": 3}
"""The settings of servers that are judged from soon after their start on."""
ENOUGH = 600
"""The number of requests per node that stable answers before the next revision comes."""


def checks(*wanted: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Returns ``spec.analysis`` with short intervals and the checks ``wanted``."""
    return {"intervalSeconds": 2, "onInconclusive": {"afterSeconds": 600}, **settings, "checks": list(wanted)}


ERRORS = {"name": "errors", "type": "ErrorRate"}
LATENCY = {"name": "latency", "type": "Latency"}
GOLDEN = {"name": "golden", "type": "GoldenAgreement"}
LABELS = {"name": "labels", "type": "Accuracy", "accuracy": {"maxDropPercent": "10"}}


class Load:
    """Clients on the nodes, which send requests until they are stopped."""

    def __init__(
        self,
        work: Workspace,
        *flags: str,
        nodes: tuple[str, ...] = CAMERAS,
        per_second: int = 40,
        connections: int = 2,
    ) -> None:
        address = work.site.get("service", "m", "-n", work.namespace)["spec"]["clusterIP"]
        words = [sys.executable, str(LOAD), address, "8080", "m", "600", str(connections)]
        words += ["--per-second", str(per_second), *flags]
        self._nodes = {node: lab.node_start(node, words, stdout=subprocess.PIPE) for node in nodes}
        self._saw: dict[str, dict[str, Any]] = {}

    def goes_on_for(self, seconds: float) -> bool:
        """Waits for the seconds; returns False as soon as a client has ended."""
        end = time.monotonic() + seconds
        for process in self._nodes.values():
            try:
                process.wait(max(end - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                continue
            return False
        return True

    def stop(self) -> dict[str, dict[str, Any]]:
        """Ends the clients and returns the results of each node; a second call returns the same."""
        for process in self._nodes.values():
            process.terminate()
        for node, process in self._nodes.items():
            if node not in self._saw:
                self._saw[node] = json.loads(process.communicate(timeout=30)[0])
        return self._saw


@contextmanager
def clients(work: Workspace, *flags: str, **options: Any) -> Iterator[Load]:
    """Yields clients with the ``options`` of ``Load``."""
    load = Load(work, *flags, **options)
    try:
        yield load
    finally:
        for node, saw in load.stop().items():
            work.recorder.mark(f"clients on {node}: {saw['good']} good, {saw['failed']} failed {saw['failures'][:1]}")


@contextmanager
def under_load(
    work: Workspace, *flags: str, baseline: int = ENOUGH, nodes: tuple[str, ...] = CAMERAS, per_second: int = 40
) -> Iterator[Load]:
    """Yields a load, once stable has answered ``baseline`` requests on each node and Prometheus has counted them."""
    with clients(work, *flags, nodes=nodes, per_second=per_second) as load:
        what = f"Prometheus to know {baseline} requests of each node"
        work.wait(what, lambda: counted(work, nodes) >= baseline, 120)
        work.recorder.mark(f"stable has answered {baseline} requests on each node")
        yield load


@contextmanager
def cut_off(work: Workspace, node: str) -> Iterator[None]:
    """Cuts the node's link inside the context."""
    lab.cut(node)
    work.recorder.mark(f"{node} is cut off")
    try:
        yield
    finally:
        lab.join(node)
        work.recorder.mark(f"{node} has its link back")


def counted(work: Workspace, nodes: tuple[str, ...] = CAMERAS) -> float:
    """Returns the number of requests after the warm-up that Prometheus has counted, on the node with the fewest."""
    of = f'{{namespace="{work.namespace}",outcome="ok",warm_up=""}}'
    query = f"sum by (node) (edgemodel_inference_requests_total{of})"
    found = {item["metric"]["node"]: float(item["value"][1]) for item in ask(work, query)}
    return min(found.get(node, 0.0) for node in nodes)


def ask(work: Workspace, query: str) -> list[dict[str, Any]]:
    """Returns the answer of the embedded Prometheus, through the API server."""
    path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/services/edgemodel-prometheus:9090/proxy/api/v1/query"
    answer = json.loads(work.site.get_raw(f"{path}?{urlencode({'query': query})}"))
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def stable(work: Workspace, analysis: dict[str, Any] | None = None, **spec: Any) -> str:
    """Returns the first revision, which serves everywhere; the next one is judged by ``analysis``. ``spec`` adds to its
    spec. Servers warm up for WARM_UP alone."""
    spec["serving"] = {**WARM_UP, **spec.get("serving", {})}
    work.apply(source={"uri": publish_mlp(work, "first")}, rollout=QUICK, analysis={"checks": []}, **spec)
    first = str(work.ready()["status"]["stableRevision"])
    if analysis is not None:
        work.apply(analysis=analysis)
        assert work.ready()["status"]["stableRevision"] == first
    return first


def rolled_back(work: Workspace, first: str, reason: str, nodes: tuple[str, ...] = CAMERAS) -> str:
    """Returns the message, once the candidate is rejected for ``reason`` and every node serves ``first`` alone
    again."""
    message = work.stalled(reasons.ROLLED_BACK, seconds=240)
    status = work.get()["status"]
    assert status["rejectedRevisions"][0]["reason"] == reason
    assert status["rejectedRevisions"][0]["message"] in message
    assert status["stableRevision"] == first
    work.wait("every node to serve stable", lambda: work.revisions_on_nodes() == dict.fromkeys(nodes, first))
    assert [event["message"] for event in events(work, reasons.ROLLED_BACK)] == [message[:1000]]
    described = work.site.kubectl("describe", "em", "m", "-n", work.namespace)
    assert status["rejectedRevisions"][0]["message"][:60] in described
    return message


def events(work: Workspace, reason: str) -> list[dict[str, Any]]:
    """Returns the events of the namespace with ``reason``."""
    found: list[dict[str, Any]] = work.site.get("events", "-n", work.namespace, "--field-selector", f"reason={reason}")[
        "items"
    ]
    return found


def server_pods(work: Workspace) -> list[dict[str, Any]]:
    """Returns all server pods, including terminating ones."""
    selector = "app.kubernetes.io/component=server"
    found: list[dict[str, Any]] = work.site.get("pods", "-n", work.namespace, "-l", selector)["items"]
    return found


def order_of_switching(work: Workspace, revision: str, nodes: tuple[str, ...] = CAMERAS) -> list[str]:
    """Returns the order in which ``nodes`` switch to ``revision`` of the EdgeModel ``m``."""
    uids = {node["metadata"]["name"]: node["metadata"]["uid"] for node in work.site.get("nodes")["items"]}
    model = work.get()["metadata"]["uid"]
    return sorted(nodes, key=lambda node: switch_order(uids[node], model, revision))


def check(work: Workspace, name: str) -> dict[str, Any]:
    """Returns the result of the check ``name`` from the EdgeModel's status."""
    found: dict[str, Any] = next(item for item in work.get()["status"]["checks"] if item["name"] == name)
    return found
