"""Verdicts on real nodes: a real load, real Prometheus, and candidates that are really worse."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from edgemodel import reasons
from tests import lab
from tests.support import tiny_models
from tests.support.edge_models import QUICK, Workspace, publish_mlp
from tests.support.site import SYSTEM_NAMESPACE

LOAD = Path(__file__).parents[1] / "support" / "load.py"
CAMERAS = ("camera-1", "camera-2")
SOAK = {**QUICK, "soakSeconds": 60, "bakeSeconds": 10}
"""Long enough for a verdict while the canary soaks."""
ENOUGH = 600
"""Requests of each node that stable answers before the next revision comes."""


def checks(*wanted: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"intervalSeconds": 2, "missingData": {"deadlineSeconds": 600}, **settings, "checks": list(wanted)}


ERRORS = {"name": "errors", "type": "ErrorRate"}
LATENCY = {"name": "latency", "type": "Latency"}
GOLDEN = {"name": "golden", "type": "GoldenAgreement"}
LABELS = {"name": "labels", "type": "Accuracy", "accuracy": {"maxDropPercent": "10"}}


class Load:
    """Clients on the nodes, which ask until they are told to stop."""

    def __init__(self, work: Workspace, *flags: str, nodes: tuple[str, ...] = CAMERAS, per_second: int = 40) -> None:
        address = work.site.get("service", "m", "-n", work.namespace)["spec"]["clusterIP"]
        words = [sys.executable, str(LOAD), address, "8080", "m", "600", "2", "--per-second", str(per_second), *flags]
        self._nodes = {node: lab.node_start(node, words, stdout=subprocess.PIPE) for node in nodes}

    def stop(self) -> dict[str, dict[str, Any]]:
        """What the clients of each node saw."""
        for process in self._nodes.values():
            process.terminate()
        return {node: json.loads(process.communicate(timeout=30)[0]) for node, process in self._nodes.items()}


@contextmanager
def under_load(work: Workspace, *flags: str, baseline: int = ENOUGH, **options: Any) -> Iterator[Load]:
    """A load, once stable has answered ``baseline`` requests of each node and Prometheus knows it."""
    load = Load(work, *flags, **options)
    try:
        work.wait(f"Prometheus to know {baseline} requests of each node", lambda: counted(work) >= baseline, 120)
        work.recorder.mark(f"stable has answered {baseline} requests on each node")
        yield load
    finally:
        for node, saw in load.stop().items():
            work.recorder.mark(f"clients on {node}: {saw['good']} good, {saw['failed']} failed {saw['failures'][:1]}")


def counted(work: Workspace, nodes: tuple[str, ...] = CAMERAS) -> float:
    """Requests that Prometheus knows of, on the node with the fewest."""
    query = f'sum by (node) (edgemodel_inference_requests_total{{namespace="{work.namespace}",outcome="ok"}})'
    found = {item["metric"]["node"]: float(item["value"][1]) for item in ask(work, query)}
    return min(found.get(node, 0.0) for node in nodes)


def ask(work: Workspace, query: str) -> list[dict[str, Any]]:
    """The embedded Prometheus, through the API server."""
    path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/services/edgemodel-prometheus:9090/proxy/api/v1/query"
    answer = json.loads(work.site.kubectl("get", "--raw", f"{path}?{urlencode({'query': query})}"))
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def stable(work: Workspace, **spec: Any) -> str:
    """The first revision, serving everywhere."""
    work.apply(source={"uri": publish_mlp(work, "first")}, rollout=QUICK, **spec)
    return str(work.ready()["status"]["stableRevision"])


def rolled_back(work: Workspace, first: str, reason: str) -> str:
    """The message, once the candidate is rejected for ``reason`` and every node serves ``first`` alone again."""
    message = work.stalled(reasons.ROLLED_BACK, seconds=240)
    status = work.get()["status"]
    assert status["rejectedRevisions"][0]["reason"] == reason
    assert status["rejectedRevisions"][0]["message"] in message
    assert status["stableRevision"] == first
    work.wait("every node to serve stable", lambda: work.revisions_on_nodes() == dict.fromkeys(CAMERAS, first))
    events = work.site.get("events", "-n", work.namespace, "--field-selector", f"reason={reasons.ROLLED_BACK}")["items"]
    assert [event["message"] for event in events] == [message[:1000]]
    described = work.site.kubectl("describe", "em", "m", "-n", work.namespace)
    assert status["rejectedRevisions"][0]["message"][:60] in described
    return message


def check(work: Workspace, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in work.get()["status"]["checks"] if item["name"] == name)
    return found


def test_a_slower_artifact_is_rolled_back_for_latency(work: Workspace) -> None:
    first = stable(work, analysis=checks(ERRORS, LATENCY))
    with under_load(work):
        work.apply(source={"uri": publish_mlp(work, "slow", slow=400)}, rollout=SOAK)
        message = rolled_back(work, first, reasons.LATENCY_TOO_HIGH)
    assert "check latency" in message
    assert "limit" in message
    assert check(work, "latency")["verdict"] == "Fail"


def test_an_artifact_that_fails_one_request_in_twenty_is_rolled_back_for_errors(work: Workspace) -> None:
    first = stable(work, analysis=checks(ERRORS, LATENCY))
    with under_load(work, "--odd-one-in", "20"):
        work.apply(source={"uri": publish_mlp(work, "fragile", fails_beyond=5.0)}, rollout=SOAK)
        message = rolled_back(work, first, reasons.ERROR_RATE_TOO_HIGH)
    assert "% of requests failed" in message
    failed = check(work, "errors")
    assert failed["verdict"] == "Fail"
    assert float(failed["observed"]) > float(failed["limit"])
    assert failed["sampleCount"] > 0
    assert failed["measuredAt"]


def test_a_model_with_permuted_classes_is_rolled_back_for_accuracy_through_labels(work: Workspace) -> None:
    """Its golden set agrees: it answers as it did where it was made."""
    first = stable(work, analysis=checks(LABELS, GOLDEN))
    data = tiny_models.samples(work.folder / "labels.npz", 500)
    with under_load(work, "--samples", str(data)):
        work.apply(source={"uri": publish_mlp(work, "permuted", permuted=True)}, rollout=SOAK)
        message = rolled_back(work, first, reasons.ACCURACY_TOO_LOW)
    assert "accuracy drops" in message
    assert check(work, "golden")["verdict"] == "Pass"
