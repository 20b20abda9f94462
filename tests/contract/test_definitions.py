"""The API server's handling of the definitions: defaults, status, columns, immutability."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_operator.decide.analysis import plan_checks
from edge_operator.decide.analysis.check_type import PlannedCheck
from edgemodel.spec import EdgeModelSpec, parse_spec
from tests.contract.cluster import Cluster, Object, Refused
from tests.support import manifests

GOOD = Path(__file__).parent / "manifests" / "good"
OPERATOR = "edgemodel-operator"
NOW = "2026-03-01T12:00:00Z"

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("definitions")]


def manifest(name: str, namespace: str) -> Object:
    item: Object = manifests.read((GOOD / f"{name}.yaml").read_text())
    item["metadata"]["namespace"] = namespace
    return item


@pytest.fixture
def model(cluster: Cluster, namespace: str) -> Iterator[Object]:
    """Yields a stored EdgeModel."""
    item = cluster.create(manifest("minimal", namespace))
    yield item
    cluster.delete(item)


@pytest.fixture
def revision(cluster: Cluster, namespace: str) -> Iterator[Object]:
    """Yields a stored EdgeModelRevision."""
    item = cluster.create(manifest("revision-full", namespace))
    yield item
    cluster.delete(item)


def write_status(cluster: Cluster, item: Object, status: Object, accept: str = "application/json") -> Object:
    """Returns the answer to writing the complete ``status``, whatever a running operator has written before."""
    for _ in range(10):
        current = cluster.get(item)
        try:
            return cluster.call("PUT", f"{cluster.path(item)}/status", {**current, "status": status}, accept=accept)
        except Refused as refusal:
            if refusal.status["code"] != 409:
                raise
    raise AssertionError("somebody else writes this status without end")


def test_the_definitions_are_established(definitions: list[Object]) -> None:
    for crd in definitions:
        conditions = {item["type"]: item["status"] for item in crd["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions["NamesAccepted"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"


def test_defaults(model: Object) -> None:
    assert model["spec"] == {
        "source": {"uri": "https://files.example/tiny.onnx", "format": "Auto"},
        "compression": {"steps": [], "deadlineSeconds": 3600},
        "placement": {"nodeSelector": {"edge": "camera"}},
        "serving": {"port": 8080, "strategy": "Surge"},
        "rollout": {
            "waves": [
                {"name": "canary", "nodes": 1},
                {"name": "tenth", "percent": 10},
                {"name": "all", "percent": 100},
            ],
            "soakSeconds": 300,
            "nodeReadyTimeoutSeconds": 600,
            "maxFailedNodes": 0,
            "controlNodes": 0,
            "bakeSeconds": 1800,
            "progressDeadlineSeconds": 3600,
            "paused": False,
            "acceptSignature": "",
            "retryToken": "",
        },
        "analysis": {
            "checks": [
                {"name": "errors", "type": "ErrorRate"},
                {"name": "latency", "type": "Latency"},
                {"name": "golden", "type": "GoldenAgreement"},
            ],
            "intervalSeconds": 15,
            "baselineSeconds": 3600,
            "onInconclusive": {"afterSeconds": 0, "action": "Proceed"},
        },
        "revisionHistoryLimit": 5,
    }
    assert model["status"] == {"observedGeneration": -1}


def test_an_analysis_holds_the_rollout_while_the_data_do_not_decide(cluster: Cluster, namespace: str) -> None:
    created = cluster.create(manifest("analysis-empty", namespace), dryRun="All")["spec"]["analysis"]
    assert created["onInconclusive"] == {"afterSeconds": 3600, "action": "Pause"}
    assert [check["type"] for check in created["checks"]] == ["ErrorRate", "Latency", "GoldenAgreement"]


@pytest.mark.parametrize(
    "name",
    [
        "minimal",
        "full",
        "datasets-every",
        "source-exported-program",
        "converter",
        "converter-every-setting",
        "teacher",
        "teacher-in-onnx",
        "variants-four",
        "serving-host-port",
        "waves-one",
        "analysis-empty",
        "analysis-without-checks",
        "analysis-every-type-with-defaults",
        "analysis-every-setting",
        "rollout-paused",
    ],
)
def test_the_operators_own_defaults_are_those_of_the_schema(cluster: Cluster, namespace: str, name: str) -> None:
    item = manifest(name, namespace)
    assert understood(item["spec"]) == understood(cluster.create(item, dryRun="All")["spec"])


def understood(spec: Object) -> tuple[EdgeModelSpec, tuple[PlannedCheck, ...]]:
    """Returns ``spec`` as the operator reads it, with all defaults, and the checks as their types read them."""
    parsed = parse_spec(spec)
    return replace(parsed, analysis=replace(parsed.analysis, checks=())), plan_checks(parsed.analysis)


@pytest.mark.parametrize(
    "step",
    [
        {"name": "int8", "type": "QuantizeDynamic", "quantizeDynamic": {}},
        {"name": "int8", "type": "QuantizeStatic", "quantizeStatic": {"calibrationSamples": 64}},
    ],
)
def test_steps_are_stored_as_they_are_given(cluster: Cluster, namespace: str, step: Object) -> None:
    """The compressor fills in the defaults: in an item of a list, one of the API server's would differ for ever."""
    item = manifest("steps-static", namespace)
    item["spec"]["compression"]["steps"] = [step]
    assert cluster.create(item, dryRun="All")["spec"]["compression"]["steps"] == [step]


def test_a_status_that_a_user_writes_is_ignored(cluster: Cluster, namespace: str) -> None:
    item = manifest("minimal", namespace) | {"status": {"observedGeneration": 7, "stableRevision": "mine"}}
    assert cluster.create(item, dryRun="All")["status"] == {"observedGeneration": -1}


def condition(kind: str, status: str, reason: str) -> Object:
    return {
        "type": kind,
        "status": status,
        "observedGeneration": 1,
        "lastTransitionTime": NOW,
        "reason": reason,
        "message": "2 of 2 nodes serve tiny-5f1c",
    }


ARTIFACT: Object = {
    "variant": "default",
    "image": "vision/tiny@sha256:" + "b" * 64,
    "digest": "sha256:" + "a" * 64,
    "sizeBytes": 5_000_000_000,
    "transferBytes": 4_000_000,
    "sourceSizeBytes": 20_000_000_000,
    "accuracy": "0.9132",
    "sourceAccuracy": "0.9140",
    "sampleCount": 2000,
    "latencyMilliseconds": "1.25",
    "sourceLatencyMilliseconds": "4.0",
}
CHECK: Object = {
    "name": "maxAccuracyDropPercent",
    "verdict": "Pass",
    "observed": "0.20",
    "limit": "1.0",
    "sampleCount": 2000,
    "message": "accuracy drops 0.20 %, limit 1.0 % (n = 2000)",
}
STATUS: Object = {
    "observedGeneration": 1,
    "stableRevision": "tiny-5f1c",
    "candidateRevision": "tiny-91ab",
    "rejectedRevisions": [
        {"name": "tiny-00aa", "reason": "GoldenMismatch", "message": "camera-1: 3 of 64 differ", "time": NOW}
    ],
    "artifacts": [ARTIFACT],
    "nodes": {
        "selected": 2,
        "stable": 2,
        "candidate": 0,
        "offline": 0,
        "failed": 0,
        "unsupported": 0,
        "summary": "2/2",
        "notReady": ["camera-1"],
    },
    "rollout": {
        "wave": 0,
        "waveName": "canary",
        "waves": 3,
        "startedAt": NOW,
        "waveStartedAt": NOW,
        "reason": "Soaking",
        "controlNodes": 2,
        "controlsReleasedAt": NOW,
    },
    "checks": [CHECK, CHECK],
    "conditions": [condition("Ready", "False", "RollingOut"), condition("Reconciling", "True", "RollingOut")],
}


def test_the_operator_can_write_all_of_a_status(cluster: Cluster, model: Object) -> None:
    written = write_status(cluster, model, STATUS)
    assert written["status"] == STATUS
    assert written["metadata"]["generation"] == model["metadata"]["generation"]


def test_a_number_that_was_not_measured_may_be_null(cluster: Cluster, model: Object) -> None:
    status = copy.deepcopy(STATUS)
    for name in ("accuracy", "sourceAccuracy", "latencyMilliseconds", "sourceLatencyMilliseconds"):
        status["artifacts"][0][name] = None
    written = write_status(cluster, model, status)
    assert written["status"]["artifacts"] == status["artifacts"]


def test_the_columns_of_an_edgemodel(cluster: Cluster, model: Object) -> None:
    shown = columns(cluster, model, STATUS)
    assert shown.pop("Age")
    assert shown == {
        "Name": "tiny",
        "Ready": "False",
        "Reason": "RollingOut",
        "Stable": "tiny-5f1c",
        "Candidate": "tiny-91ab",
        "Nodes": "2/2",
        "Size": 5_000_000_000,
    }


def test_the_columns_of_a_revision(cluster: Cluster, revision: Object) -> None:
    verdict = {"verdict": "Pass", "reason": "Serving", "message": "became stable"}
    status = {**verdict, "conditions": [condition("Ready", "True", "Serving")]}
    assert write_status(cluster, revision, status)["status"] == status
    shown = columns(cluster, revision, status)
    assert shown.pop("Age")
    assert shown == {"Name": "tiny-5f1c", "Model": "tiny", "Verdict": "Pass", "Size": 1000}


def columns(cluster: Cluster, item: Object, status: Object) -> dict[str, Any]:
    """Returns what ``kubectl get`` shows of it with this status."""
    table = write_status(cluster, item, status, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"retryToken": "once more"},
        {"serving": {"port": 8081, "strategy": "Surge"}},
        {"variants": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_spec_of_a_revision_never_changes(cluster: Cluster, revision: Object, change: Object) -> None:
    changed = {**revision, "spec": {**revision["spec"], **change}}
    with pytest.raises(Refused) as refusal:
        cluster.call("PUT", cluster.path(changed), changed)
    message = "the spec of a revision never changes: change the EdgeModel, which makes a new revision"
    assert f'spec: Invalid value: "object": {message}' in refusal.value.causes


def test_a_step_of_a_revision_never_changes(cluster: Cluster, revision: Object) -> None:
    changed = copy.deepcopy(revision)
    changed["spec"]["variants"][0]["steps"][1]["quantizeDynamic"]["perChannel"] = True
    with pytest.raises(Refused, match="the spec of a revision never changes"):
        cluster.call("PUT", cluster.path(changed), changed)


def test_applying_a_revision_again_changes_nothing(cluster: Cluster, namespace: str) -> None:
    item = manifest("revision-full", namespace)
    first = cluster.apply(item, OPERATOR)
    again = cluster.apply(item, OPERATOR)
    cluster.delete(item)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_revisions_can_be_selected_by_model(cluster: Cluster, revision: Object) -> None:
    collection = cluster.collection(revision)
    found = cluster.call("GET", collection, fieldSelector="spec.model=tiny")["items"]
    assert [item["metadata"]["name"] for item in found] == ["tiny-5f1c"]
    assert cluster.call("GET", collection, fieldSelector="spec.model=other")["items"] == []


def test_a_users_steps_can_be_copied_into_a_revision(cluster: Cluster, namespace: str) -> None:
    """The API server's form of the model's steps, with defaults, is what the operator writes into a revision."""
    model = cluster.create(manifest("full", namespace), dryRun="All")
    revision = manifest("revision-minimal", namespace)
    revision["spec"]["variants"][0]["steps"] = model["spec"]["compression"]["steps"]
    revision["spec"]["variants"][0]["nodeSelector"] = {}
    revision["spec"]["serving"] = model["spec"]["serving"]
    created = cluster.create(revision, dryRun="All")
    assert created["spec"]["variants"][0]["steps"] == model["spec"]["compression"]["steps"]
    assert created["spec"]["serving"] == model["spec"]["serving"]
