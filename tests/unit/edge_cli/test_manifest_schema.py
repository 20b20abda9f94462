"""The schema of the CRD in the command line, which accepts and refuses the same manifests as a cluster, for the same
fields.

The lines ``#!`` of the manifests in ``tests/contract`` are a real API server's answers, which contract tests check.
"""

import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_cli.manifest import check_budget, check_steps, choose_edge_model, complete_edge_model, structural
from edge_cli.manifest.cel import CelError, parse_rule
from edge_cli.manifest.documents import Document
from edge_cli.manifest.edge_model import schema, with_metadata
from edge_cli.manifest.go_regex import compile_go
from edge_cli.verb import UsageError
from edgemodel.compression_request import parse_request
from edgemodel.schema_version import RENAMED_FIELDS
from tests.support import manifests
from tests.support.mutations import mutated

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "tests" / "contract" / "manifests"
GOOD, BAD = (sorted((MANIFESTS / name).glob("*.yaml")) for name in ("good", "bad"))
CRDS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for crd in (manifests.read(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml")))
}


def judged(manifest: dict[str, Any]) -> list[structural.FieldError]:
    """Returns the errors of a manifest of either kind, by the schema in ``crds/``."""
    wanted = with_metadata(CRDS[manifest["kind"]])
    unknown = structural.unknown_fields(manifest, wanted, "")
    return unknown or structural.errors(structural.complete(manifest, wanted), wanted, "")


def answered(path: Path) -> tuple[set[str], list[str]]:
    """Returns the fields that the API server refused, and its answer."""
    lines = [line.removeprefix("#! ") for line in path.read_text().splitlines() if line.startswith("#! ")]
    unknown = [field for line in lines for field in re.findall(r'unknown field "([^"]+)"', line)]
    return set(unknown or (line.partition(": ")[0] for line in lines)), lines


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_command_line_accepts_what_the_api_server_accepts(path: Path) -> None:
    assert judged(manifests.read(path.read_text())) == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_the_command_line_refuses_the_fields_that_the_api_server_refuses(path: Path) -> None:
    fields, lines = answered(path)
    found = judged(manifests.read(path.read_text()))
    assert {error.field for error in found} == fields
    for error in found:
        if error.is_rule:
            assert any(line.startswith(f"{error.field}: ") and line.endswith(error.message) for line in lines)


def below_of(node: Any) -> list[Any]:
    """Returns the direct subschemas of ``node``."""
    own = [node[key] for key in ("items", "additionalProperties") if key in node]
    return [*node.get("properties", {}).values(), *own]


def keywords(node: Any) -> set[str]:
    """Returns the keywords of a schema and of all schemas in it, with those of rules."""
    found = set(node)
    for below in (
        *node.get("properties", {}).values(),
        *(node[k] for k in ("items", "additionalProperties") if k in node),
    ):
        found |= keywords(below)
    return found


@pytest.mark.parametrize("kind", CRDS)
def test_every_keyword_of_the_schemas_is_honoured(kind: str) -> None:
    assert keywords(CRDS[kind]) <= structural.KEYWORDS


def rules(node: Any) -> set[str]:
    found = {rule["rule"] for rule in node.get("x-kubernetes-validations", ())}
    for below in (
        *node.get("properties", {}).values(),
        *(node[k] for k in ("items", "additionalProperties") if k in node),
    ):
        found |= rules(below)
    return found


@pytest.mark.parametrize("kind", CRDS)
def test_every_rule_of_the_schemas_can_be_read(kind: str) -> None:
    for rule in rules(CRDS[kind]):
        parse_rule(rule)


@pytest.mark.slow
def test_an_independent_validator_agrees_about_hundreds_of_manifests() -> None:
    """The part of the schema without rules and defaults is JSON schema, and unknown fields are errors in both."""
    full = manifests.read((MANIFESTS / "good" / "full.yaml").read_text())["spec"]
    wanted = schema()["properties"]["spec"]
    validator = jsonschema.Draft7Validator(closed(wanted))
    differing, judged_well = [], 0
    for number, (done, spec) in enumerate(mutated(full)):
        if number % 5:
            continue  # every value in turn, over all fields
        completed = structural.complete(spec, wanted)
        found = structural.unknown_fields(spec, wanted, "spec") or structural.errors(completed, wanted, "spec")
        is_good = not [error for error in found if not error.is_rule and "is there twice" not in error.message]
        judged_well += is_good
        if is_good is not validator.is_valid(completed) and not any(error.is_rule for error in found):
            differing.append(done)
    assert differing == []
    assert judged_well > 20


def closed(node: Any) -> Any:
    """Returns a schema for ``jsonschema``, which accepts unknown fields by default."""
    kept = {key: value for key, value in node.items() if not key.startswith("x-kubernetes")}
    if "pattern" in kept:
        kept["pattern"] = compile_go(kept["pattern"]).pattern
    kept |= {key: closed(kept[key]) for key in ("items", "additionalProperties") if key in kept}
    if "properties" in kept:
        kept["properties"] = {name: closed(below) for name, below in kept["properties"].items()}
        kept["additionalProperties"] = False
    return kept


# --- CEL ---


@pytest.mark.parametrize(
    ("rule", "value", "result"),
    [
        ("self == 1 || 1 == 2", 1, True),
        ("has(self.a) && self.a > 0", {"a": 1}, True),
        ("has(self.a) && self.a > 0", {}, False),
        ("has(self.a.b)", {"a": {"b": 1}}, True),
        ("has(self[1].a)", [{"a": 1}, {}], False),
        ("!has(self.a) || self.a == 'x'", {"a": "y"}, False),
        ("self.missing == 1 || true", {}, True),
        ("true || self.missing == 1", {}, True),
        ("self.missing == 1 && false", {}, False),
        ("self.all(i, i > 0)", [1, 2], True),
        ("self.all(i, i > 0)", [1, 0], False),
        ("self.all(i, i > 0)", [], True),
        ("self.exists(i, i.a == 2)", [{"b": 1}, {"a": 2}], True),
        ("self.exists(i, i == 2)", [], False),
        ("self.all(key, key.matches('^a'))", {"a": 0, "ab": 1}, True),
        ("'a' in self", {"a": 1}, True),
        ("self in ['a', 'b']", "c", False),
        ("self[self.size() - 1] == 3", [1, 2, 3], True),
        ("self['a b']", {"a b": True}, True),
        ("type(self) == int ? self > 5 : self.size() > 5", 6, True),
        ("type(self) == int ? self > 5 : self.size() > 5", "abc", False),
        ("double(self) <= 0.5", "0.50", True),
        ("quantity(self).compareTo(quantity('1Gi')) <= 0", "1024Mi", True),
        ("quantity(self).compareTo(quantity('1Gi')) < 0", "1.1e9", False),
        ("quantity(string(self)).compareTo(quantity('500m')) > 0", 1, True),
        ("self.startsWith('a') && self.endsWith('c') && self.contains('b')", "abc", True),
        ("self == true", 1, False),
        ("self != null", "x", True),
        ("-self + 2 * 3 == 5", 1, True),
        ("(self == 1) == true", 1, True),
        ("self == 'it\\'s'", "it's", True),
        ("1 == 1 ? false : self.missing", {}, False),
    ],
)
def test_rules_are_evaluated_as_cel_defines(rule: str, value: object, result: bool) -> None:
    assert parse_rule(rule)({"self": value}) is result


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("self.a == 1", {}),
        ("self.a == 1 || false", {}),
        ("self[3] == 1", [1]),
        ("self < 'a'", 1),
        ("self", "true"),
        ("double(self) > 0.0 && true", "x"),
        ("quantity(self).compareTo(quantity('1')) > 0", "1 GB"),
        ("other == 1", 1),
        ("self.size() > 0", 1),
        ("1 in self", 1),
        ("self.matches('a')", 5),
    ],
)
def test_what_a_rule_cannot_evaluate_is_an_error(rule: str, value: object) -> None:
    with pytest.raises(CelError):
        parse_rule(rule)({"self": value})


@pytest.mark.parametrize(
    "rule", ["self.", "self &&", "has(self", "has(self)", "self.unknown()", "unknown(self)", "self == 'a", "a b", "#"]
)
def test_a_rule_of_another_part_of_cel_is_refused(rule: str) -> None:
    with pytest.raises(CelError):
        parse_rule(rule)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        (r"^\S+$", "a b", False),
        (r"^[^/\s]+$", "a\vb", True),
        ("^[[:space:]]$", "\v", True),
        ("^[$]$", "$", True),
        (r"^\$$", "$", True),
        (r"^[0-9]{2}$", "١٢", False),
        (r"^\d$", "١", False),
        (r"^[^\]]$", "]", False),
    ],
)
def test_patterns_mean_what_they_mean_in_go(pattern: str, text: str, matches: bool) -> None:
    assert (compile_go(pattern).search(text) is not None) is matches


# --- defaults ---

MODEL: dict[str, Any] = {
    "apiVersion": "edgemodel.io/v1alpha1",
    "kind": "EdgeModel",
    "metadata": {"name": "tiny"},
    "spec": {
        "source": {"uri": "https://files.example/tiny.onnx"},
        "placement": {"nodeSelector": {"edge": "camera"}},
    },
}


def model(**spec: Any) -> dict[str, Any]:
    return copy.deepcopy(MODEL) | {"spec": copy.deepcopy(MODEL["spec"]) | spec}


def completed(**spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = complete_edge_model(model(**spec), "m.yaml")["spec"]
    return made


def test_defaults_are_filled_in_but_inside_lists_and_what_is_given_stays() -> None:
    spec = completed(
        compression={"steps": [{"name": "a", "type": "QuantizeDynamic", "quantizeDynamic": {"perChannel": False}}]},
        rollout={"soakSeconds": 5},
    )
    (step,) = spec["compression"]["steps"]
    assert step["quantizeDynamic"] == {"perChannel": False}
    assert spec["compression"]["deadlineSeconds"] == 3600
    assert spec["rollout"]["soakSeconds"] == 5
    assert spec["rollout"]["bakeSeconds"] == 1800
    assert spec["source"]["format"] == "Auto"


def test_a_null_is_a_field_that_is_left_out_and_the_manifest_itself_stays_as_it_is() -> None:
    given = model(serving={"port": None, "hostPort": None}, datasets=None)
    before = copy.deepcopy(given)
    spec = complete_edge_model(given, "m.yaml")["spec"]
    assert given == before
    assert spec["serving"]["port"] == 8080
    assert "hostPort" not in spec["serving"]
    assert "datasets" not in spec


def test_defaults_are_not_shared_between_manifests() -> None:
    completed()["rollout"]["waves"].append("mine")
    assert "mine" not in completed()["rollout"]["waves"]


def test_a_whole_number_may_be_written_as_a_float() -> None:
    spec = completed(rollout={"soakSeconds": 5.0})
    assert spec["rollout"]["soakSeconds"] == 5
    assert isinstance(spec["rollout"]["soakSeconds"], int)


@pytest.mark.parametrize(
    "path", [path for path in GOOD if "kind: EdgeModel\n" in path.read_text()], ids=lambda path: path.stem
)
def test_a_manifest_that_was_stored_is_complete(path: Path) -> None:
    """The stored manifest has the same fingerprint as the written one."""
    once = complete_edge_model(manifests.read(path.read_text()), path.name)
    again = complete_edge_model(once | {"status": {"observedGeneration": 3}}, path.name)
    assert again == once
    assert parse_request(again["spec"]).fingerprint == parse_request(once["spec"]).fingerprint


@pytest.mark.parametrize(
    ("short", "written_out"),
    [
        ({"quantizeDynamic": {}}, {"quantizeDynamic": {"perChannel": True, "reduceRange": True}}),
        ({"quantizeDynamic": {"opTypes": None}}, {"quantizeDynamic": {"reduceRange": True}}),
    ],
)
def test_settings_that_are_left_out_have_the_fingerprint_of_their_defaults(short: Any, written_out: Any) -> None:
    def fingerprint(step: Any) -> str:
        steps = [{"name": "int8", "type": "QuantizeDynamic", **step}]
        from_steps = check_steps(steps, "steps.yaml")["steps"]
        spec = completed(compression={"steps": steps})
        assert spec["compression"]["steps"] == from_steps
        return parse_request(spec).fingerprint

    assert fingerprint(short) == fingerprint(written_out)


# --- messages ---


def refused(given: Any) -> str:
    with pytest.raises(UsageError) as refusal:
        complete_edge_model(given, "m.yaml")
    return str(refusal.value)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"rolout": {}}, "spec.rolout is no field; did you mean rollout?"),
        ({"compression": {"bugdet": {}}}, "spec.compression.bugdet is no field; did you mean budget?"),
        ({"budget": {}}, "spec.budget is no field; budget belongs to spec.compression"),
        (
            {"node_selector": {}},
            "spec.node_selector is no field; node_selector belongs to spec.placement or spec.preflight",
        ),
        ({"source": {"URI": "x", "uri": "y"}}, "spec.source.URI is no field; did you mean uri?"),
        ({"xyz": 1}, "spec.xyz is no field; the fields here are analysis, compression, datasets"),
        ({"validation": {}}, "spec.validation is now called spec.preflight"),
        (
            {"compression": {"budget": {"maxAccuracyDropPercent": 1.5}}},
            'maxAccuracyDropPercent is 1.5, want a text: write it in quotes, "1.5"',
        ),
        ({"rollout": {"soakSeconds": "5"}}, 'soakSeconds is "5", want a whole number: write it without quotes'),
        ({"rollout": {"soakSeconds": "5m"}}, 'soakSeconds is "5m", want a whole number'),
        ({"rollout": {"soakSeconds": 1.5}}, "soakSeconds is 1.5, want a whole number"),
        ({"rollout": {"paused": "true"}}, 'paused is "true", want true or false: write it without quotes'),
        ({"serving": {"tuning": {"memoryArena": False}}}, "write it in quotes (YAML takes on, off"),
        ({"placement": {"nodeSelector": {"edge": True}}}, 'edge is true, want a text: write it in quotes, "true"'),
        ({"serving": {"port": 80}}, "spec.serving.port is 80, want at least 1024"),
        ({"serving": {"strategy": "surge"}}, "want one of Surge, Recreate; did you mean Surge?"),
        ({"compression": {"steps": {}}}, "spec.compression.steps is a mapping, want a list"),
        ({"compression": []}, "spec.compression is a list, want a mapping"),
        ({"placement": {}}, "spec.placement.nodeSelector is missing"),
        ({"source": {"uri": "model.onnx"}}, "spec.source.uri: uri must be oci://HOST/REPOSITORY"),
        (
            {"compression": {"steps": [{"name": "a", "type": "CleanGraph"}] * 2}},
            "spec.compression.steps[1] is there twice: name a",
        ),
        (
            {"compression": {"steps": [{"name": "a", "type": "QuantizeStatic"}]}},
            "spec.datasets: QuantizeStatic needs datasets.calibration",
        ),
    ],
)
def test_a_message_names_the_field_and_the_cure(spec: Any, told: str) -> None:
    assert told in refused(model(**spec))


def test_all_errors_are_reported_at_once() -> None:
    lines = refused(model(serving={"port": 80, "strategy": "Blue"}, revisionHistoryLimit=0)).splitlines()
    assert [line.split(" ")[1] for line in lines] == [
        "spec.serving.port", "spec.serving.strategy", "spec.revisionHistoryLimit",
    ]  # fmt: skip
    assert all(line.startswith("m.yaml: ") for line in lines)


def test_old_names_are_reported_with_their_new_ones() -> None:
    for old, new in RENAMED_FIELDS.items():
        value: Any = {"spec": copy.deepcopy(MODEL["spec"])}
        node, *names = value, *old.split(".")
        for name in names[:-1]:
            node = node.setdefault(name, {})
        node[names[-1]] = {}
        section = old.rpartition(".")[0]  # a section with a new name is reported before its contents
        assert RENAMED_FIELDS.get(section, new) in refused(MODEL | value)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"name": "Tiny"}, "metadata.name must have at most 40 characters"),
        ({"name": "tiny-"}, "metadata.name is"),
        ({"name": 5}, 'metadata.name is 5, want a text: write it in quotes, "5"'),
        ({}, "metadata.name is missing"),
        ({"name": "m", "label": {}}, "metadata.label is no field; did you mean labels?"),
        ({"name": "m", "labels": {"a": True}}, "metadata.labels.a is true, want a text"),
        ({"name": "m", "labels": {"a b": "c"}}, "metadata.labels: a key is not a label key"),
        ({"name": "m", "namespace": "a_b"}, "metadata.namespace is"),
    ],
)
def test_metadata_are_judged_as_well(metadata: Any, told: str) -> None:
    assert told in refused(MODEL | {"metadata": metadata})


def test_another_version_of_the_api_is_refused() -> None:
    assert "apiVersion is edgemodel.io/v1, want edgemodel.io/v1alpha1" in refused(
        MODEL | {"apiVersion": "edgemodel.io/v1"}
    )


# --- parts of a manifest ---


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("hello", "want a list of steps, or an object with 'steps' and 'budget'"),
        ({"kind": "EdgeModel", "spec": {}}, "it is a whole EdgeModel: give it by -f"),
        ({"steps": [], "evaluation": {}}, "evaluation is no field; the fields here are budget, steps"),
        ([{"name": "a", "type": "QuantiseStatic"}], "did you mean QuantizeStatic?"),
        (
            [{"name": "a", "type": "Auto", "auto": {"maxTrial": 3}}],
            "steps[0].auto.maxTrial is no field; did you mean maxTrials?",
        ),
        (["CleanGraph"], 'steps[0] is "CleanGraph", want a mapping'),
        ([{"type": "CleanGraph"}], "steps[0].name is missing"),
        ([None], "steps[0] is null, want a mapping"),
    ],
)
def test_steps_on_their_own_are_judged_alike(value: Any, told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        check_steps(value, "steps.yaml")
    assert told in str(refusal.value)


def test_limits_on_the_command_line_are_those_of_a_manifest() -> None:
    given = {"maxSizeBytes": "100", "maxAccuracyDropPercent": "1.0", "onInconclusive": "Proceed"}
    assert check_budget(given) == {
        "maxSizeBytes": 100, "maxAccuracyDropPercent": "1.0", "onInconclusive": {"action": "Proceed"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("maxSize", "1", "maxSize is no field; did you mean maxSizeBytes?"),
        ("maxSizeBytes", "1k", 'maxSizeBytes is "1k", want a whole number'),
        ("maxAccuracyDropPercent", "1 %", "write percentage points from 0 to 100"),
        ("onInconclusive", "Maybe", "want one of Stall, Proceed"),
        ("maxLatencyMilliseconds", "0", "write milliseconds above 0"),
    ],
)
def test_a_limit_on_the_command_line_that_a_manifest_refuses_is_refused(name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        check_budget({name: text})
    assert told in str(refusal.value)


def documents(*values: Any) -> list[Document]:
    return [Document(value, f"document {number}") for number, value in enumerate(values, start=1)]


def test_the_edge_model_among_other_objects_is_read_and_the_others_are_named() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vision"}}
    found, others = choose_edge_model(documents(namespace, MODEL, "text"), Path("m.yaml"), None)
    assert found is MODEL
    assert others == ("Namespace vision", "document 3, which has no kind")


def test_of_two_edge_models_one_is_chosen_by_its_name() -> None:
    other = MODEL | {"metadata": {"name": "other"}}
    assert choose_edge_model(documents(MODEL, other), Path("m.yaml"), "other") == (other, ("EdgeModel tiny",))


@pytest.mark.parametrize(
    ("values", "name", "told"),
    [
        ((), None, "the file is empty"),
        (({"kind": "edgemodel"},), None, "the kind is written EdgeModel"),
        (({"kind": "Pod", "metadata": {"name": "a"}},), None, "found Pod a"),
        ((MODEL, MODEL), "tiny", "more than one EdgeModel, tiny, tiny"),
        ((MODEL, MODEL | {"metadata": {"name": "b"}}), None, "choose one by --name"),
        ((MODEL, MODEL | {"metadata": {"name": "b"}}), "c", "none of them is c"),
    ],
)
def test_a_file_without_exactly_one_edge_model_is_refused(values: Any, name: str | None, told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        choose_edge_model(documents(*values), Path("m.yaml"), name)
    assert told in str(refusal.value)


def test_the_schema_of_the_command_line_is_that_of_the_crd() -> None:
    def bare(node: Any) -> Any:
        kept = {key: value for key, value in node.items() if key != "description"}
        kept |= {key: bare(kept[key]) for key in ("items", "additionalProperties") if key in kept}
        return kept | (
            {"properties": {k: bare(v) for k, v in kept["properties"].items()}} if "properties" in kept else {}
        )

    wanted = bare(with_metadata(CRDS["EdgeModel"]))
    assert schema() == wanted
