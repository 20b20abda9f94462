"""The manifests that users may write, the errors for others, and the command line's answers, which are the same.

``manifests/good`` holds manifests that a real API server accepts. Each of ``manifests/bad`` has one mistake; its lines
that begin with ``#!`` are the complete answer. The first line of every file says what it is about.
"""

from pathlib import Path
from typing import Any

import pytest

from edge_cli.manifest import complete_edge_model
from edge_cli.verb import UsageError
from edgemodel.compression_request import parse_request
from tests.contract.cluster import Cluster, Object, Refused
from tests.support import manifests
from tests.support.mutations import mutated

HERE = Path(__file__).parent / "manifests"
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted((HERE / "bad").glob("*.yaml"))

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("definitions")]


def manifest(path: Path, namespace: str) -> Object:
    item = manifests.read(path.read_text())
    return {**item, "metadata": {**item["metadata"], "namespace": namespace}}


def expected_answer(path: Path) -> list[str]:
    return [line.removeprefix("#! ") for line in path.read_text().splitlines() if line.startswith("#! ")]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_accepted(cluster: Cluster, namespace: str, path: Path) -> None:
    item = manifest(path, namespace)
    created = cluster.create(item, dryRun="All")
    assert contains(created["spec"], item["spec"]), "a field was dropped or changed"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_refused_with_a_reason(cluster: Cluster, namespace: str, path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        cluster.create(manifest(path, namespace), dryRun="All")
    assert refusal.value.causes == expected_answer(path)


MODELS = [path for path in GOOD if "kind: EdgeModel\n" in path.read_text()]
NULLS: dict[str, Object] = {
    "a default takes the place of a null": {"serving": {"port": None}},
    "a null without a default is left out": {"serving": {"hostPort": None}, "datasets": None},
    "a null beside a label": {"placement": {"nodeSelector": {"edge": "camera", "other": None}}},
    "a null in a list": {"placement": {"nodeSelector": {"edge": "camera"}, "tolerations": [None]}},
    "a null among steps": {"compression": {"steps": [None]}},
    "a null where a field is required": {"source": {"uri": None}},
    "a whole number as a float": {"rollout": {"soakSeconds": 5.0}},
    "a limit above its request by another suffix": {
        "serving": {"resources": {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1.1e9"}}}
    },
    "a limit below its request by another suffix": {
        "serving": {"resources": {"requests": {"cpu": 1}, "limits": {"cpu": "999m"}}}
    },
    "a line break after a pattern": {"rollout": {"retryToken": "again\n"}},
    "a line break after a label": {"placement": {"nodeSelector": {"edge": "camera\n"}}},
}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_command_line_completes_a_manifest_as_the_api_server_does(
    cluster: Cluster, namespace: str, path: Path
) -> None:
    item = manifest(path, namespace)
    stored = cluster.create(item, dryRun="All")["spec"]
    completed = complete_edge_model(item, path.name)["spec"]
    assert completed == stored
    assert parse_request(completed).fingerprint == parse_request(stored).fingerprint


@pytest.mark.parametrize("spec", NULLS.values(), ids=NULLS)
def test_the_command_line_answers_as_the_api_server_where_values_are_missing_or_odd(
    cluster: Cluster, namespace: str, spec: Object
) -> None:
    item = manifest(HERE / "good" / "minimal.yaml", namespace)
    item["spec"] |= spec
    try:
        stored = cluster.create(item, dryRun="All")["spec"]
    except Refused:
        stored = None
    try:
        completed = complete_edge_model(item, "manifest")["spec"]
    except UsageError:
        completed = None
    assert completed == stored


FULL = HERE / "good" / "full.yaml"


def sent(value: Any) -> Any:
    """Returns ``value`` as kubectl sends it: a whole number has no fraction in the JSON that it makes of YAML."""
    if isinstance(value, dict):
        return {key: sent(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sent(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize("section", manifests.read(FULL.read_text())["spec"])
def test_the_command_line_answers_as_the_api_server_whatever_stands_in_a_field(
    cluster: Cluster, namespace: str, section: str
) -> None:
    """The test applies nearly 3,000 manifests, most of them wrong in one field, and lists all differences."""
    item = manifest(FULL, namespace)
    differing = []
    for done, values in mutated({section: item["spec"][section]}):
        given = {**item, "spec": {key: value for key, value in item["spec"].items() if key != section} | values}
        try:
            stored = cluster.create(sent(given), dryRun="All")["spec"]
        except Refused:
            stored = None
        try:
            completed = complete_edge_model(given, "manifest")["spec"]
        except UsageError:
            completed = None
        if completed != stored:
            verdicts = ["refused" if answer is None else "accepted" for answer in (stored, completed)]
            differing.append(f"{done}: API server {verdicts[0]}, command line {verdicts[1]}")
    assert differing == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "tiny-"},
        {"name": "tiny", "labels": {"a b": "c"}},
        {"name": "tiny", "labels": {"a": "b c"}},
        {"name": "tiny", "labels": {"a": None}},
        {"name": "tiny", "annotations": {"a b": "c"}},
        {"name": "tiny", "label": {}},
        {"name": "tiny", "labels": {"example.com/a": ""}, "annotations": {"b": "two words"}},
    ],
    ids=str,
)
def test_metadata_are_judged_as_the_api_server_does(cluster: Cluster, namespace: str, metadata: Object) -> None:
    item = manifest(HERE / "good" / "minimal.yaml", namespace)
    item["metadata"] = {**metadata, "namespace": namespace}
    answers = []
    for ask in (lambda: cluster.create(item, dryRun="All"), lambda: complete_edge_model(item, "manifest")):
        try:
            ask()
            answers.append("accepted")
        except (Refused, UsageError):
            answers.append("refused")
    assert answers[0] == answers[1]


def test_there_are_enough_of_them() -> None:
    assert len(GOOD) >= 20
    assert len(BAD) >= 60
    assert all(expected_answer(path) for path in BAD)


def contains(whole: object, part: object) -> bool:
    """Returns whether everything in ``part`` is in ``whole``, which may have more, such as defaults."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part
