"""The schemas of steps, generated from the types of steps."""

from typing import Any

import jsonschema
import pytest

from crds.generated import check_item, rules, step_item, with_generated_parts, without_defaults
from edge_compressor.steps import STEPS, StepType
from edge_operator.decide.analysis import CHECKS
from edge_operator.decide.analysis.check_type import CheckType
from edgemodel.compression_request import ONNX
from edgemodel.compressor_facts import STEP_DEFAULTS, STEP_READS
from edgemodel.setting_kinds import Setting
from tests.support import manifests
from tests.support.invented_steps import EVERY_KIND, LEARN, PRUNE, THIN, nothing


def of_settings(step: StepType) -> dict[str, Any]:
    properties: dict[str, Any] = step_item([step])["properties"][step.key]["properties"]
    return properties


def takes(name: str, value: object) -> bool:
    """Returns whether schema and step both accept the value; they must agree."""
    setting: Setting = EVERY_KIND[name]
    fits = jsonschema.Draft7Validator(of_settings(PRUNE)[name]).is_valid(value)
    try:
        setting.read(value)
    except ValueError:
        assert not fits
        return False
    assert fits
    return True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keepHead", True),
        ("epochs", 0),
        ("epochs", 1000),
        ("seed", 2**40),
        ("sparsity", "0"),
        ("sparsity", "0.95"),
        ("schedule", "Step"),
        ("layers", ["body.conv"]),
    ],
)
def test_the_schema_takes_what_the_step_takes(name: str, value: object) -> None:
    assert takes(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keepHead", "true"),
        ("epochs", 1001),
        ("epochs", -1),
        ("seed", -1),
        ("sparsity", 0.5),
        ("sparsity", "half"),
        ("sparsity", "-0.5"),
        ("sparsity", ".5"),
        ("schedule", "Linear"),
        ("layers", "body.conv"),
    ],
)
def test_the_schema_refuses_what_the_step_refuses(name: str, value: object) -> None:
    assert not takes(name, value)


def test_a_decimal_has_its_range_in_a_rule() -> None:
    (rule,) = of_settings(PRUNE)["sparsity"]["x-kubernetes-validations"]
    assert rule["rule"].endswith("double(self) >= 0.0 && double(self) <= 0.95")
    assert rule["message"] == 'write a decimal in quotes, "0" to "0.95"'


@pytest.mark.parametrize("step", [*STEPS.values(), PRUNE, THIN, LEARN], ids=lambda step: step.type)
def test_a_step_with_nothing_but_its_defaults_is_valid(step: StepType) -> None:
    defaults = {name: setting.default for name, setting in step.settings.items()}
    given = {"name": "one", "type": step.type, **({step.key: defaults} if defaults else {})}
    jsonschema.validate(given, step_item([step]))
    for name, schema in of_settings(step).items() if step.settings else ():
        assert schema.get("default", []) == step.settings[name].default


@pytest.mark.parametrize("made", [*STEPS.values(), *CHECKS.values()], ids=lambda made: made.type)
def test_every_default_is_told_in_words(made: StepType | CheckType[Any]) -> None:
    """The schema of a list's items has none."""
    for name, setting in made.settings.items():
        if "default" in setting.schema():
            assert "Default: " in setting.doc, name


def test_settings_belong_to_their_type_only() -> None:
    plain = StepType("Plain", "Has no settings.", {}, {ONNX: nothing})
    made = step_item([plain, PRUNE])
    assert [rule["fieldPath"] for rule in made["x-kubernetes-validations"]] == [".prune"]
    assert "plain" not in made["properties"]
    assert made["properties"]["type"]["enum"] == ["Plain", "Prune"]
    assert made["properties"]["type"]["description"].endswith("Plain: has no settings. Prune: takes weights out.")


def test_what_a_step_needs_becomes_a_rule() -> None:
    assert [(rule["fieldPath"], rule["message"]) for rule in rules([PRUNE, LEARN])] == [
        (
            ".datasets",
            "Learn needs datasets.training: inputs and label, none of them in the evaluation set; "
            "give it, or leave the step out",
        ),
        (
            ".datasets",
            "Learn needs datasets.unlabeled: inputs of the domain where the model will serve, no labels; "
            "give it, or leave the step out",
        ),
        (
            ".source.format",
            "Learn trains the model, which an ONNX file does not allow: give the source as ExportedProgram, "
            "or leave the step out",
        ),
    ]


def test_a_step_that_needs_data_only_for_training_says_so() -> None:
    data, source = rules([THIN])
    assert data["message"].startswith("Thin with epochs needs datasets.training: ")
    assert data["message"].endswith("; give it, or leave epochs out")
    assert source["message"].endswith("give the source as ExportedProgram, or leave epochs out")
    assert "s.type == 'Thin' && has(s.thin) && has(s.thin.epochs) && s.thin.epochs > 0" in source["rule"]


def test_what_is_recorded_has_no_defaults_and_a_field_may_be_called_so() -> None:
    schema = {"properties": {"default": {"type": "string", "default": "x"}}, "default": {}}
    assert without_defaults(schema) == {"properties": {"default": {"type": "string"}}}


def test_only_the_text_between_the_marks_is_regenerated_and_a_second_run_changes_nothing() -> None:
    text = (
        "before: kept\n"
        "steps:\n"
        "  # Generated: items of steps. By whom.\n"
        "  items: outdated\n"
        "  # End of generated.\n"
        "  after: kept  # as it is\n"
    )
    made = with_generated_parts(text, [PRUNE])
    assert with_generated_parts(made, [PRUNE]) == made
    assert made.startswith("before: kept\n")
    assert made.endswith("  after: kept  # as it is\n")
    assert manifests.read(made) == {
        "before": "kept",
        "steps": {"items": without_defaults(step_item([PRUNE])), "after": "kept"},
    }


# --- checks ---


def of_check(kind: str) -> dict[str, Any]:
    properties: dict[str, Any] = check_item(CHECKS.values())["properties"][CHECKS[kind].key]["properties"]
    return properties


@pytest.mark.parametrize(
    ("kind", "name", "good", "bad"),
    [
        ("ErrorRate", "maxIncreasePercent", ("1", "0.0001", "100", "100.0", "99.9999"), ("100.5", "1.00001", 1, "-1")),
        ("Accuracy", "maxDropPercent", ("0", "0.0", "100.0000"), ("101", "", None)),
        ("Latency", "maxSlowdownPercent", ("10", "1000", "12.5"), ("12.55555", "10000", "x")),
        ("Latency", "objectiveMilliseconds", (1, 60000, "0.75", "60000"), (True, 1.5, None, "600000.1234")),
        ("PromQL", "min", ("-1.5", "0", "123456789012.123456789"), ("1e3", ".5", 1)),
        ("PromQL", "query", ("up",), ("", 1, "x" * 2049)),
    ],
)
def test_the_schema_of_a_check_takes_what_the_operator_reads(
    kind: str, name: str, good: tuple[Any, ...], bad: tuple[Any, ...]
) -> None:
    setting, validator = CHECKS[kind].settings[name], jsonschema.Draft7Validator(of_check(kind)[name])
    for value in good:
        assert validator.is_valid(value), value
        setting.read(value)
    for value in bad:
        assert not validator.is_valid(value), value
        with pytest.raises(ValueError, match=r"decimal|text"):
            setting.read(value)


@pytest.mark.parametrize(
    ("kind", "name", "beyond"),
    [
        ("ErrorRate", "maxIncreasePercent", ("0", "0.0")),
        ("Latency", "maxSlowdownPercent", ("9.9999", "1000.1", "9999")),
        ("Latency", "objectiveMilliseconds", (0, 60001, "0", "60000.1")),
    ],
)
def test_ends_of_a_range_that_only_a_rule_can_state_are_read_by_it(
    kind: str, name: str, beyond: tuple[Any, ...]
) -> None:
    assert of_check(kind)[name]["x-kubernetes-validations"]
    for value in beyond:
        with pytest.raises(ValueError, match=r"milliseconds|percent"):
            CHECKS[kind].settings[name].read(value)


def test_a_check_without_required_settings_is_valid_by_its_type_alone() -> None:
    for check in CHECKS.values():
        item = {"name": "one", "type": check.type}
        jsonschema.validate(item, check_item([check]))
        needs = [
            rule["message"] for rule in check_item([check])["x-kubernetes-validations"] if "needs" in rule["message"]
        ]
        assert needs == ([f"a check of type {check.type} needs {check.key}: {check.needs}"] if check.required else [])


def test_every_check_says_why_it_fails_and_what_to_do() -> None:
    words = [check.fails_with.word for check in CHECKS.values()]
    assert len(set(words)) == len(words)
    for check in CHECKS.values():
        assert check.fails_with.meaning
        assert check.fails_with.remedy


def test_the_operator_knows_what_steps_read() -> None:
    assert {step.type: step.reads for step in STEPS.values() if step.reads} == STEP_READS


def test_the_operator_knows_the_defaults_of_settings() -> None:
    for step in STEPS.values():
        if step.settings:
            key, defaults = STEP_DEFAULTS[step.type]
            assert key == step.key
            assert defaults == {
                name: schema["default"] for name, schema in of_settings(step).items() if "default" in schema
            }
    assert STEP_DEFAULTS.keys() == {step.type for step in STEPS.values() if step.settings}
