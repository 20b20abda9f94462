"""The schema generated from steps, on a real API server: with more steps than exist, in a group of their own."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from crds.generated import with_generated_parts
from edge_compressor.steps import STEPS
from tests.contract.cluster import Cluster, Object, Refused
from tests.contract.conftest import CRDS, install, wait_until_served
from tests.support import manifests
from tests.support.invented_steps import LEARN, PRUNE, many

GROUP = "invented.example"
MODEL: Object = {
    "apiVersion": f"{GROUP}/v1alpha1",
    "kind": "EdgeModel",
    "metadata": {"name": "tiny"},
    "spec": {
        "source": {"uri": "https://files.example/tiny.pt2", "format": "ExportedProgram"},
        "placement": {"nodeSelector": {"edge": "camera"}},
        "datasets": {use: {"uri": f"https://files.example/{use}.npz"} for use in ("training", "unlabeled")},
    },
}

pytestmark = pytest.mark.lab


def invented(plural: str, steps: Any) -> Object:
    name = f"{plural}.edgemodel.io"
    crd: Object = manifests.read(with_generated_parts((CRDS / f"{name}.yaml").read_text(), steps))
    crd["metadata"]["name"] = f"{plural}.{GROUP}"
    crd["spec"]["group"] = GROUP
    crd["spec"]["names"].pop("categories", None)
    crd["spec"]["names"].pop("shortNames")
    return crd


@pytest.mark.parametrize("plural", ["edgemodels", "edgemodelrevisions"])
def test_there_is_room_for_many_more_steps(cluster: Cluster, plural: str) -> None:
    """The API server estimates the cost of rules for the largest possible object, and refuses a definition that costs
    too much."""
    cluster.create(invented(plural, many(24)), dryRun="All")


@pytest.fixture(scope="module")
def _served(cluster: Cluster) -> Iterator[None]:
    crd = invented("edgemodels", [*STEPS.values(), PRUNE, LEARN])
    install(cluster, crd)
    wait_until_served(cluster, crd)
    yield
    cluster.delete(crd)


def answer(cluster: Cluster, namespace: str, step: Object, **spec: Any) -> list[str]:
    """Returns why a model with this one step, in a variant, is refused; nothing if it is accepted."""
    item = copy.deepcopy(MODEL)
    item["metadata"]["namespace"] = namespace
    steps = {"steps": [{"name": "one", **step}]}
    item["spec"] |= {"variants": [{"name": "pi", "nodeSelector": {"board": "pi"}, "compression": steps}], **spec}
    try:
        cluster.create(item, dryRun="All")
    except Refused as refusal:
        return refusal.causes
    return []


@pytest.mark.usefixtures("_served")
def test_a_step_that_has_what_it_needs_is_accepted(cluster: Cluster, namespace: str) -> None:
    assert answer(cluster, namespace, {"type": "Learn", "learn": {"sparsity": "0.95", "seed": 2**40}}) == []


@pytest.mark.usefixtures("_served")
@pytest.mark.parametrize("value", ["0.951", "1", "999999999"])
def test_a_decimal_out_of_range_is_refused(cluster: Cluster, namespace: str, value: str) -> None:
    (cause,) = answer(cluster, namespace, {"type": "Prune", "prune": {"sparsity": value}})
    assert cause.endswith('.sparsity: Invalid value: "string": write a decimal in quotes, "0" to "0.95"')


@pytest.mark.usefixtures("_served")
def test_a_step_that_trains_refuses_an_onnx_file(cluster: Cluster, namespace: str) -> None:
    source = {"uri": "https://files.example/tiny.onnx"}
    assert answer(cluster, namespace, {"type": "Learn"}, source=source) == [
        'spec.source.format: Invalid value: "object": Learn trains the model, which an ONNX file does not allow: '
        "give the source as ExportedProgram, or leave the step out"
    ]


@pytest.mark.usefixtures("_served")
def test_a_step_without_its_data_sets_names_them(cluster: Cluster, namespace: str) -> None:
    training = MODEL["spec"]["datasets"]["training"]
    assert answer(cluster, namespace, {"type": "Learn"}, datasets={"training": training}) == [
        "spec.datasets: Required value: Learn needs datasets.unlabeled: inputs of the domain where the model will serve"
        ", no labels; give it, or leave the step out"
    ]
