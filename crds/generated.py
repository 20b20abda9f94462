"""Generates the schema parts of steps, checks and evaluation tasks from their types, so that each type is described
once."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from edge_compressor.evaluation import TASKS
from edge_compressor.evaluation.task import TaskType
from edge_compressor.formats import FORMATS
from edge_compressor.pipeline import NEEDED
from edge_compressor.steps import STEPS, StepType
from edge_operator.decide.analysis import CHECKS
from edge_operator.decide.analysis.check_type import CheckType
from edgemodel.compression_request import AUTO, BY_CONTENT, EXPORTED_PROGRAM, ONNX
from edgemodel.setting_kinds import Schema, Setting

_PART = re.compile(
    r"(?P<begin>^(?P<indent> *)# Generated: (?P<what>[a-z ]+)\.[^\n]*\n).*?(?P<end>^(?P=indent)# End of generated\.\n)",
    re.MULTILINE | re.DOTALL,
)
_NAME = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_WIDTH = 124


def with_generated_parts(
    text: str,
    steps: Iterable[StepType] = STEPS.values(),
    checks: Iterable[CheckType[Any]] = CHECKS.values(),
    tasks: Iterable[TaskType] = TASKS.values(),
) -> str:
    """Returns ``text`` of a CRD with the parts between its marks regenerated.

    Raises KeyError for a mark with an unknown name.
    """
    steps = tuple(steps)
    items = without_defaults(step_item(steps))
    parts = {
        "items of steps": {"items": items},
        "items of recorded steps": {"items": items},
        "rules about steps": rules(steps),
        "items of checks": {"items": without_defaults(check_item(checks))},
        "evaluation": {"evaluation": evaluation(tasks)},
        "format of sources": {**by_content(format_of("Format of the model", opaque=True)), "default": BY_CONTENT},
        "format of recorded sources": by_content(format_of("Format of the model", opaque=True)),
        "format of models": {**format_of("Format of the teacher file", opaque=False), "default": ONNX},
        "format of converted models": {
            **format_of(
                "Format of the file that the converter writes; the Job treats the file as untrusted",
                opaque=False,
                default=EXPORTED_PROGRAM,
            ),
            "default": EXPORTED_PROGRAM,
        },
        "rules about formats": rules_of_formats(),
    }

    def part(found: re.Match[str]) -> str:
        indent = found["indent"]
        lines = _to_yaml(parts[found["what"]], _WIDTH - len(indent)).splitlines()
        return found["begin"] + "".join(f"{indent}{line}\n" for line in lines) + found["end"]

    return _PART.sub(part, text)


def step_item(steps: Iterable[StepType]) -> Schema:
    """Returns the schema of one step in a list."""
    return _item(
        tuple(steps),
        what="One compression step.",
        name="Name of the step, unique in the list; reports and messages use it.",
        kind="Type of the step.",
    )


def check_item(checks: Iterable[CheckType[Any]]) -> Schema:
    """Returns the schema of one check in a list."""
    checks = tuple(checks)
    made = _item(
        checks,
        what="One check.",
        name="Name of the check, unique in the list; status and messages use it.",
        kind="Type of the check.",
    )
    made["x-kubernetes-validations"] += [_needed(check) for check in checks if check.required]
    for check in checks:
        if check.settings:
            made["properties"][check.key] |= _settings_of(check)
    return made


def evaluation(tasks: Iterable[TaskType]) -> Schema:
    """Returns the schema of ``spec.compression.evaluation``: the task, and the settings of all tasks side by side.

    Raises ValueError if two tasks have a setting of the same name.
    """
    tasks = tuple(tasks)
    settings: Schema = {}
    for task in tasks:
        for name, setting in task.settings.items():
            if name in {"task", *settings}:
                raise ValueError(f"two tasks have a setting {name}: name the one of {task.type} otherwise")
            described = {"description": f"For {task.type}: {_continued(setting.doc)}"}
            settings[name] = described | setting.schema()
    inferred = (
        f"{AUTO}: the task is inferred from the values and shapes of labels and outputs, and the report names it. "
        f"Default: {AUTO}."
    )
    kinds = (f"{task.type}: {_continued(task.doc)}" for task in tasks)
    return {
        "description": "How the gate compares predictions with the labels of datasets.evaluation. Default: inferred "
        "from the labels.",
        "type": "object",
        "properties": {
            "task": {
                "description": " ".join(("Task of the model.", *kinds, inferred)),
                "type": "string",
                "enum": [AUTO, *(task.type for task in tasks)],
                "default": AUTO,
            },
            **settings,
        },
    }


def _item(types: Sequence[StepType] | Sequence[CheckType[Any]], *, what: str, name: str, kind: str) -> Schema:
    """Returns the schema of an item that has a name, a type, and under the type's own key the settings of that type."""
    have_settings = [one for one in types if one.settings]
    return {
        "description": what,
        "type": "object",
        "required": ["name", "type"],
        "x-kubernetes-validations": [_belongs(one.type, one.key) for one in have_settings],
        "properties": {
            "name": {
                "description": f"{name} A DNS label of at most 63 characters.",
                "type": "string",
                "maxLength": 63,
                "minLength": 1,
                "pattern": _NAME,
            },
            "type": {
                "description": " ".join((kind, *(f"{one.type}: {_continued(one.doc)}" for one in types))),
                "type": "string",
                "enum": [one.type for one in types],
            },
            **{
                one.key: {
                    "description": f"Settings of type {one.type}.",
                    "type": "object",
                    "properties": {key: _setting(setting) for key, setting in one.settings.items()},
                }
                for one in have_settings
            },
        },
    }


def _settings_of(check: CheckType[Any]) -> Schema:
    """Returns the description, required settings and rules of a check's settings object; without its properties."""
    description = {"description": f"Settings of type {check.type}. {check.settings_doc}"} if check.settings_doc else {}
    required = {"required": list(check.required)} if check.required else {}
    constraints = [constraint._asdict() for constraint in check.constraints]
    return description | required | ({"x-kubernetes-validations": constraints} if constraints else {})


def _needed(check: CheckType[Any]) -> Schema:
    return {
        "rule": f"self.type != '{check.type}' || has(self.{check.key})",
        "message": f"a check of type {check.type} needs {check.key}: {check.needs}",
        "fieldPath": f".{check.key}",
        "reason": "FieldValueRequired",
    }


def rules(steps: Iterable[StepType]) -> list[Schema]:
    """Returns the CEL rules that tie steps to the data sets and the source format that they require."""
    made = []
    for step in steps:
        for use in step.needs:
            given = f"has(self.datasets) && has(self.datasets.{use})"
            message = f"{step.when_it_trains} needs datasets.{use}: {NEEDED[use]}"
            made.append(_asked(step, given, f"{message}; give it, or leave {step.what_trains} out", ".datasets"))
        if step.trains:
            message = (
                f"{step.when_it_trains} trains the model, which an ONNX file does not allow: "
                f"give the source as {EXPORTED_PROGRAM}, or leave {step.what_trains} out"
            )
            written = f"has(self.source.converter) && self.source.converter.writes == '{EXPORTED_PROGRAM}'"
            content = f"self.source.format == '{BY_CONTENT}' && !self.source.uri.endsWith('.onnx')"
            given = f"self.source.format == '{EXPORTED_PROGRAM}' || ({content}) || {written}"
            made.append(_asked(step, given, message, ".source.format"))
    return made


def format_of(what: str, *, opaque: bool, default: str = ONNX) -> Schema:
    """Returns the schema of a format field; ``opaque`` includes the formats that need a converter, and folders."""
    formats = [one for one in FORMATS.values() if opaque or (one.to_artifact is not None and one.accepts_file)]
    described = "; ".join(f"{one.name}, {one.doc}" for one in formats)
    return {
        "description": f"{what}: {described}. Default: {default}.",
        "type": "string",
        "enum": [one.name for one in formats],
    }


def by_content(schema: Schema) -> Schema:
    """Returns the schema of a format field that may be left out, because the content tells the format."""
    described = schema["description"].removesuffix(f" Default: {ONNX}.")
    inferred = f"{BY_CONTENT}: the format is told by the content; a named format that differs from it is refused."
    return {
        **schema,
        "description": f"{described} {inferred} Default: {BY_CONTENT}.",
        "enum": [BY_CONTENT, *schema["enum"]],
    }


def rules_of_formats() -> list[Schema]:
    """Returns the CEL rules that require or forbid a converter, by format."""
    opaque = [one.name for one in FORMATS.values() if one.to_artifact is None]
    is_opaque = f"self.format in [{', '.join(map(repr, opaque))}]"
    *others, last = sorted(one.name for one in FORMATS.values() if one.to_artifact is not None)
    names = " and ".join(opaque)
    return [
        {
            "rule": f"!({is_opaque}) || has(self.converter)",
            "message": f"{names} holds weights alone: name the converter that makes a model of them, or give the "
            f"source as {', '.join(others)} or {last}",
            "fieldPath": ".converter",
            "reason": "FieldValueRequired",
        },
        {
            "rule": f"{is_opaque} || !has(self.converter)",
            "message": f"converter belongs to format {names} only: other formats are models already",
            "fieldPath": ".converter",
            "reason": "FieldValueForbidden",
        },
    ]


def without_defaults(schema: Schema) -> Schema:
    """Returns ``schema`` without defaults, which its descriptions tell and who reads the settings fills in.

    A list of a custom resource is one value to a client-side merge: what the API server filled in within one of its
    items would differ from the manifest for ever. And a later default must not change what recorded settings mean.
    """
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in kept:
        kept["properties"] = {name: without_defaults(below) for name, below in kept["properties"].items()}
    return kept


def for_the_desk(crd: Mapping[str, Any]) -> Schema:
    """Returns the schema in a CRD as the command line needs it: without descriptions, and without the status."""
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    properties = {name: below for name, below in schema["properties"].items() if name != "status"}
    return _without_descriptions({**schema, "properties": properties})


def _without_descriptions(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key != "description"}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = _without_descriptions(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: _without_descriptions(below) for name, below in kept["properties"].items()}
    return kept


def _belongs(type_name: str, key: str) -> Schema:
    return {
        "rule": f"self.type == '{type_name}' || !has(self.{key})",
        "message": f"{key} belongs to type {type_name} only",
        "fieldPath": f".{key}",
        "reason": "FieldValueForbidden",
    }


def _asked(step: StepType, given: str, message: str, field: str) -> Schema:
    """Returns a CEL rule: ``given`` must hold if ``step`` is used in the spec or in a variant."""
    setting = f"s.{step.key}.{step.trains_if}"
    trains = f" && has(s.{step.key}) && has({setting}) && {setting} > 0" if step.trains_if else ""
    used = f"compression.steps.exists(s, s.type == '{step.type}'{trains})"
    in_variants = f"!has(self.variants) || !self.variants.exists(v, has(v.compression) && v.{used})"
    return {
        "rule": f"({given}) || (!self.{used} && ({in_variants}))",
        "message": message,
        "fieldPath": field,
        "reason": "FieldValueRequired" if field == ".datasets" else "FieldValueInvalid",
    }


def _setting(setting: Setting) -> Schema:
    return {"description": setting.doc, **setting.schema()}


def _continued(sentence: str) -> str:
    """Returns ``sentence`` with a lower-case first letter, for use after a colon; names in capitals keep theirs."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


class _Dumper(yaml.SafeDumper):
    """A dumper that indents lists, like the hand-written parts of the files, and writes no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _to_yaml(value: Any, width: int) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
