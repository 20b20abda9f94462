"""The custom resource definitions, installed on a real API server; without one the tests fail."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lab.waiting import wait_for
from tests.contract.cluster import Cluster, Object, Refused, kubeconfig
from tests.support import manifests

CRDS = Path(__file__).resolve().parents[2] / "crds"
MANAGER = "edgemodel-contract-tests"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    file = kubeconfig()
    if file is None:
        pytest.fail("no cluster: set KUBECONFIG, or run: python -m examples.lab up", pytrace=False)
    return Cluster(file)


@pytest.fixture(scope="session")
def definitions(cluster: Cluster) -> Iterator[list[Object]]:
    """Yields the definitions of this checkout, as the cluster has them; those that were not there before are removed at
    the end."""
    wanted = [manifests.read(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    made = [item for item in wanted if install(cluster, item)]
    for crd in wanted:
        wait_until_served(cluster, crd)
    yield [cluster.get(item) for item in wanted]
    for item in made:
        cluster.delete(item)


def install(cluster: Cluster, crd: Object) -> bool:
    """Installs the definition and returns whether there was none before. One that differs is updated as the field
    manager that applied it.

    So the next upgrade of an installed chart finds no conflict, and an uninstall still keeps the definition.
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


def wait_until_served(cluster: Cluster, crd: Object) -> None:
    """Waits until the API server uses this schema, since a definition or its change takes effect after a moment."""
    collection = cluster.collection(
        {"apiVersion": f"{crd['spec']['group']}/v1alpha1", "kind": crd["spec"]["names"]["kind"], "metadata": {}}
    )
    generations: list[int | None] = [None]

    def settled() -> bool:
        """Returns whether the definition is listed, and the same twice in a row."""
        cluster.call("GET", collection)
        generations.append(cluster.get(crd)["metadata"]["generation"])
        return generations[-1] == generations[-2]

    wait_for(f"the API server to serve {crd['metadata']['name']}", settled, interval_s=0.3)


@pytest.fixture(scope="session")
def namespace(cluster: Cluster) -> Iterator[str]:
    """Yields a namespace of these tests that enforces the restricted profile."""
    name = f"edgemodel-contract-{uuid.uuid4().hex[:8]}"
    item: Object = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    cluster.create(item)
    yield name
    cluster.delete(item)
