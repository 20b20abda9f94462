"""The API server accepts everything that the chart renders, strictly, and its pods in a restricted namespace."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.cluster import Cluster, Object
from tests.support import manifests
from tests.unit.chart.rendering import helm, pods

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "edgemodel"
CASES = sorted((ROOT / "tests" / "unit" / "chart" / "values").glob("*.yaml"))
PROMETHEUS_OPERATOR = "monitoring.coreos.com/v1"  # not installed here
FREE_NODE_PORT = "31999"  # another release on this cluster may have the default

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("definitions")]


@pytest.fixture(params=CASES, ids=lambda path: path.stem)
def objects(request: pytest.FixtureRequest, namespace: str) -> list[Object]:
    values = ["--values", request.param, "--set", f"registry.nodePort={FREE_NODE_PORT}"]
    text = helm("template", "contract", CHART, "--namespace", namespace, *values)
    return [item for item in manifests.read_all(text) if item and item["apiVersion"] != PROMETHEUS_OPERATOR]


def test_every_object_is_accepted(cluster: Cluster, objects: list[Object]) -> None:
    for item in objects:
        cluster.apply(item, "edgemodel-contract-tests", dryRun="All")


def test_every_pod_is_admitted_to_a_restricted_namespace(
    cluster: Cluster, namespace: str, objects: list[Object]
) -> None:
    for name, spec in pods(objects):
        # The service account does not exist in a dry run; admission checks for it before everything else.
        without_account: dict[str, Any] = {key: value for key, value in spec.items() if key != "serviceAccountName"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**without_account, "automountServiceAccountToken": False},
        }
        cluster.create(pod, dryRun="All")
