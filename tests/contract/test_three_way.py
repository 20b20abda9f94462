"""A client-side merge of what is applied with what the API server stores finds nothing to write again."""

from pathlib import Path

import pytest

from tests.contract.cluster import Cluster, Object
from tests.contract.test_chart import CASES, CHART, FREE_NODE_PORT, PROMETHEUS_OPERATOR
from tests.support import manifests
from tests.support.three_way import differences
from tests.unit.chart.rendering import helm
from tests.unit.support.test_three_way import EDGE_MODELS

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("definitions")]


@pytest.mark.parametrize("where", EDGE_MODELS)
def test_nothing_of_a_manifest_is_written_again(cluster: Cluster, namespace: str, where: str) -> None:
    item = EDGE_MODELS[where]
    item = {**item, "metadata": {**item["metadata"], "namespace": namespace}}
    assert differences(item, cluster.create(item, dryRun="All")) == []


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_nothing_of_the_chart_is_written_again(cluster: Cluster, namespace: str, path: Path) -> None:
    values = ["--values", path, "--set", f"registry.nodePort={FREE_NODE_PORT}"]
    found: list[str] = []
    for item in manifests.read_all(helm("template", "contract", CHART, "--namespace", namespace, *values)):
        if item and item["apiVersion"] != PROMETHEUS_OPERATOR:
            stored: Object = cluster.apply(item, "edgemodel-contract-tests", dryRun="All")
            found += [f"{item['kind']} {line}" for line in differences(item, stored)]
    assert found == []
