"""The custom resource definitions, installed on a real API server; without one the tests fail."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.contract.cluster import Cluster, Object, Refused, kubeconfig

CRDS = Path(__file__).resolve().parents[2] / "crds"
MANAGER = "edgemodel-contract-tests"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    file = kubeconfig()
    if file is None:
        pytest.fail("no cluster: set KUBECONFIG, or run: python -m tests.lab up", pytrace=False)
    return Cluster(file)


@pytest.fixture(scope="session")
def definitions(cluster: Cluster) -> Iterator[list[Object]]:
    """The definitions of this checkout, as the cluster has them; what was not there before is removed in the end."""
    wanted = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    made = [item for item in wanted if install(cluster, item)]
    wait_until_served(cluster, wanted)
    yield [cluster.get(item) for item in wanted]
    for item in made:
        cluster.delete(item)


def install(cluster: Cluster, crd: Object) -> bool:
    """Whether there was none before. One that differs is brought up to date in the name of whoever applied it.

    So a chart that is installed finds nothing in its way at its next upgrade, and still keeps it on uninstall.
    """
    try:
        live = cluster.get(crd)
    except Refused as error:
        if error.status["code"] != 404:
            raise
        cluster.apply(crd, MANAGER)
        return True
    metadata = {key: live["metadata"][key] for key in ("name", "labels", "annotations") if key in live["metadata"]}
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"] if entry["operation"] == "Apply"]
    cluster.apply({**crd, "metadata": metadata}, managers[0] if managers else MANAGER)
    return False


def wait_until_served(cluster: Cluster, crds: list[Object]) -> None:
    """Until the API server answers by these schemas: it takes a moment to see a definition, or its change."""
    deadline = time.monotonic() + 30
    for crd in crds:
        probe = {"apiVersion": "edgemodel.io/v1alpha1", "kind": crd["spec"]["names"]["kind"]}
        generation = None
        while time.monotonic() < deadline:
            try:
                cluster.call("GET", cluster.collection({**probe, "metadata": {}}))
                if generation == cluster.get(crd)["metadata"]["generation"]:
                    break
                generation = cluster.get(crd)["metadata"]["generation"]
            except Refused:
                pass
            time.sleep(0.3)
        else:
            pytest.fail(f"the API server does not serve {crd['metadata']['name']}")


@pytest.fixture(scope="session")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of these tests' own that enforces the restricted profile."""
    name = f"edgemodel-contract-{uuid.uuid4().hex[:8]}"
    item: Object = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    cluster.create(item)
    yield name
    cluster.delete(item)
