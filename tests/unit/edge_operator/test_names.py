"""Names at their longest and strangest: every object that the operator makes is valid, and no two have one name."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_operator import objects
from edge_operator.decide.actions import StartPreflight
from edge_operator.decide.artifact.target import target_name
from edge_operator.decide.observation import Observation
from edgemodel import reasons
from edgemodel.names import (
    artifact_tag,
    deferral_key,
    is_artifact_tag,
    pin_key,
    preflight_job_prefix,
    puller_of,
)
from tests.support import manifests
from tests.support.simulation import SETTINGS, Simulation, model_spec
from tests.unit.edge_cli.test_manifest_schema import judged

LONG = "m" * 39
MODELS = ["a", "a-b", "b", "a-server", "a-replay", "pull", "a--1", "a-1234567890", "null", LONG + "1", LONG + "2"]
NAMESPACES = ["a", "1", "123", "true", "n" * 62 + "1", "n" * 62 + "2"]
VARIANTS = ["1", "v--1", "pull", "v" * 9 + "1", "default"]
NODES = ["1", "1.2.3.4", ".".join(["n" * 63] * 3 + ["n" * 60 + "1"]), ".".join(["n" * 63] * 3 + ["n" * 60 + "2"])]
SECRET = ".".join(["s" * 63] * 3 + ["s" * 61])
CLAIM = "1" + "c" * 56

SPEC = {
    "source": {
        "uri": f"pvc://{CLAIM}/m.safetensors",
        "format": "Safetensors",
        "converter": {"image": "registry.example/maker@sha256:" + "b" * 64},
    },
    "datasets": {
        use: {"uri": f"https://files.example/{use}.npz", "secretRef": {"name": SECRET}}
        for use in ("calibration", "evaluation", "training", "unlabeled")
    },
    "compression": {"steps": [{"name": name, "type": "CleanGraph"} for name in ("1", "s" * 62 + "1", "s" * 62 + "2")]},
    "variants": [{"name": name, "nodeSelector": {"v": name}} for name in VARIANTS if name != "default"],
    "serving": {"strategy": "Recreate", "shadowReplay": {"maxRequests": 8}},
    "preflight": {"nodeSelector": {"edge": "camera"}, "hardwareClassLabels": ["v", "edge", "long", "longer"]},
    "imagePullSecrets": [{"name": SECRET}],
}

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KEY = re.compile(r"((?=[^/]{1,253}/)[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
NAME_OF_KIND = {"Service": DNS_1035, "Job": DNS_LABEL, "DaemonSet": DNS_LABEL}
"""The names that Kubernetes allows where it allows less than a subdomain; those of Jobs and DaemonSets are labels of
their pods."""


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name}
    return {"apiVersion": "edgemodel.io/v1alpha1", "kind": "EdgeModel", "metadata": meta, "spec": model_spec(**spec)}


def world() -> Simulation:
    allowing = replace(SETTINGS, allowed_converter_images=("registry.example/",))
    world = Simulation.with_nodes(1, spec=model_spec(**SPEC), settings=allowing)
    world.run(60)
    return world


def made(seen: Observation, namespace: str, model: str) -> list[dict[str, Any]]:
    """Returns every kind of object of an EdgeModel, with each variant and node."""
    observation = replace(seen, namespace=namespace, name=model)
    name = target_name(replace(observation, revisions=()))
    revision = replace(seen.revisions[0], name=name)
    starts = [
        StartPreflight(
            f"{preflight_job_prefix(name, f'{variant}/amd64', node)}9", 9, revision, variant, node, timedelta(1)
        )
        for variant, node in product(VARIANTS, NODES)
    ]
    spec = seen.spec
    return [
        *(objects.job(observation, f"{model}-{spec.attempt_hash}-{attempt}", attempt, spec) for attempt in (1, 10**9)),
        *(objects.preflight_job(observation, start) for start in starts),
        *(objects.daemonset(observation, revision, variant) for variant in VARIANTS),
        *(objects.daemonset(observation, revision, puller_of(variant)) for variant in VARIANTS),
        objects.revision(observation, name, revision.spec),
        objects.service(observation, 8080),
        *objects.network_policies(observation),
        objects.replay_secret(observation, "token"),
        objects.event(observation, reasons.SERVING, "it serves", Simulation.now, is_warning=False),
    ]


def within(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields (path, value) of every object below ``value``; the items of a list have its path."""
    if isinstance(value, dict):
        yield path, value
        for key, below in value.items():
            yield from within(below, (*path, key))
    for below in value if isinstance(value, list) else ():
        yield from within(below, path)


def check(item: dict[str, Any]) -> None:
    name = item["metadata"]["name"]
    assert NAME_OF_KIND.get(item["kind"], SUBDOMAIN).fullmatch(name), (item["kind"], name)
    if item["kind"] in ("Job", "DaemonSet"):
        assert DNS_LABEL.fullmatch(f"{name[:57]}-x7k2p"), "the API server shortens the names of pods in the same way"
    for path, value in within(item):
        last = path[-1] if path else ""
        if last in ("labels", "matchLabels", "nodeSelector") or path == ("spec", "selector"):
            pairs = {key: text for key, text in value.items() if not isinstance(text, dict)}
            assert all(KEY.fullmatch(key) and VALUE.fullmatch(text) for key, text in pairs.items()), (path, value)
        if last == "annotations":
            assert all(KEY.fullmatch(key) and isinstance(text, str) for key, text in value.items()), value
        if last in ("containers", "initContainers", "volumes", "volumeMounts"):
            assert DNS_LABEL.fullmatch(value["name"]), (path, value["name"])
        if last in ("imagePullSecrets", "secret", "persistentVolumeClaim"):
            assert SUBDOMAIN.fullmatch(next(iter(value.values()))), (path, value)
        if last == "data" or last == "stringData":
            assert all(re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key) for key in value), value


def test_every_object_of_the_longest_and_strangest_names_is_valid_and_none_has_the_name_of_another() -> None:
    seen = world().observe()
    names = []
    for namespace, model in product(NAMESPACES, MODELS):
        assert judged(manifest(model, **SPEC)) == [], model
        for item in made(seen, namespace, model):
            check(item)
            names.append((item["kind"], namespace, item["metadata"]["name"]))
    assert len(names) == len(set(names))


def test_no_two_models_have_a_pin_or_a_deferral_in_common() -> None:
    """Names are joined before they are hashed, and none of them may hold what joins them."""
    places = list(product(NAMESPACES, MODELS))
    pins = [pin_key(*place, f"{place[1]}-0123456789", variant) for place in places for variant in VARIANTS]
    deferrals = [deferral_key(*place, f"{place[1]}-0123456789") for place in places]
    assert len({*pins, *deferrals}) == len(pins) + len(deferrals)
    assert all(KEY.fullmatch(key) for key in (*pins, *deferrals))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tag_of_every_variant_is_read_as_an_artifacts(variant: str) -> None:
    assert is_artifact_tag(artifact_tag("0123456789abcdef", variant))


@pytest.mark.parametrize("name", ["1", "1a", "a.b", "A", "a_b", "-a", "a-", "", "ä", "m" * 41, "a/b", "a b", "a\n"])
def test_a_name_of_which_some_object_would_be_invalid_is_refused_at_once(name: str) -> None:
    (error,) = judged(manifest(name))
    assert error.field == "metadata.name"


@pytest.mark.parametrize("name", ["", "v" * 11, "a.b", "A", "-a", "a-", "default", "pull.a", "a_b"])
def test_a_variants_name_of_which_some_object_would_be_invalid_is_refused_at_once(name: str) -> None:
    errors = judged(manifest("m", variants=[{"name": name, "nodeSelector": {"v": "1"}}]))
    assert {error.field for error in errors} == {"spec.variants[0].name"}


@pytest.mark.parametrize("name", ["", "a..b", ".a", "a.", "a-.b", "A", "a_b", "s" * 254])
def test_a_secrets_name_that_no_secret_can_have_is_refused_at_once(name: str) -> None:
    datasets = {"evaluation": {"uri": "https://files.example/e.npz", "secretRef": {"name": name}}}
    errors = judged(manifest("m", imagePullSecrets=[{"name": name}], datasets=datasets))
    assert {e.field for e in errors} == {"spec.imagePullSecrets[0].name", "spec.datasets.evaluation.secretRef.name"}


def test_a_status_with_the_longest_names_of_nodes_and_labels_is_one_that_the_api_server_stores() -> None:
    crd = manifests.read(Path("crds/edgemodels.edgemodel.io.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    fleet = world()
    long = {"long": "l" * 63, "longer": "o" * 63}
    for number, name in enumerate([*NODES, *(f"{NODES[-1][:-2]}{number}" for number in range(10, 30))]):
        fleet.add_node(name, v=VARIANTS[number % 4], **long)
    for name in NODES[1:3]:
        fleet.taint(name, key="k" * 253 + "/" + "e" * 63)
    fleet.run(40)
    for name in list(fleet.nodes)[::2]:
        fleet.cut(name)
    fleet.trouble[fleet.target()] = (reasons.IMAGE_PULL_FAILED, "x" * 5000)
    fleet.run(400, tick=20)
    stored = jsonschema.Draft202012Validator(schema)
    for status in fleet.history:
        stored.validate({key: value for key, value in status.items() if value is not None})
    assert any(NODES[-1] in str(status) for status in fleet.history)
