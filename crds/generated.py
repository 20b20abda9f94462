"""What the schemas say of compression steps, made from the steps themselves: a new step is written down once."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from edge_compressor.pipeline import NEEDED
from edge_compressor.steps import STEPS, Form, StepType
from edgemodel.setting_kinds import Schema, Setting

_PART = re.compile(
    r"(?P<begin>^(?P<indent> *)# Generated: (?P<what>[a-z ]+)\.[^\n]*\n).*?(?P<end>^(?P=indent)# End of generated\.\n)",
    re.MULTILINE | re.DOTALL,
)
_NAME = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_WIDTH = 124


def with_generated_parts(text: str, steps: Iterable[StepType] = STEPS.values()) -> str:
    """``text`` of a CRD with what stands between its marks made anew. Raises KeyError for a mark of another name."""
    steps = tuple(steps)
    parts = {
        "items of steps": {"items": item(steps)},
        "items of recorded steps": {"items": without_defaults(item(steps))},
        "rules about steps": rules(steps),
    }

    def part(found: re.Match[str]) -> str:
        indent = found["indent"]
        lines = _to_yaml(parts[found["what"]], _WIDTH - len(indent)).splitlines()
        return found["begin"] + "".join(f"{indent}{line}\n" for line in lines) + found["end"]

    return _PART.sub(part, text)


def item(steps: Iterable[StepType]) -> Schema:
    """The schema of one step in a list."""
    steps = tuple(steps)
    have_settings = [step for step in steps if step.settings]
    return {
        "description": "One compression step.",
        "type": "object",
        "required": ["name", "type"],
        "x-kubernetes-validations": [_belongs(step) for step in have_settings],
        "properties": {
            "name": {
                "description": "Name of the step, unique in the list: it stands in reports and messages. "
                "A DNS label of at most 63 characters.",
                "type": "string",
                "maxLength": 63,
                "minLength": 1,
                "pattern": _NAME,
            },
            "type": {
                "description": " ".join(
                    ("What the step does.", *(f"{step.type}: {_continued(step.doc)}" for step in steps))
                ),
                "type": "string",
                "enum": [step.type for step in steps],
            },
            **{
                step.key: {
                    "description": f"Settings of type {step.type}.",
                    "type": "object",
                    "properties": {name: _setting(setting) for name, setting in step.settings.items()},
                }
                for step in have_settings
            },
        },
    }


def rules(steps: Iterable[StepType]) -> list[Schema]:
    """What steps ask of the rest of a spec."""
    made = []
    for step in steps:
        for use in step.needs:
            given = f"has(self.datasets) && has(self.datasets.{use})"
            message = f"{step.when_it_trains} needs datasets.{use}: {NEEDED[use]}"
            made.append(_asked(step, given, f"{message}; give it, or leave {step.what_trains} out", ".datasets"))
        if step.apply_program is not None:
            message = (
                f"{step.when_it_trains} trains the model, which an ONNX file does not allow: "
                f"give the source as {Form.PROGRAM}, or leave {step.what_trains} out"
            )
            written = f"has(self.source.converter) && self.source.converter.writes == '{Form.PROGRAM}'"
            given = f"self.source.format == '{Form.PROGRAM}' || {written}"
            made.append(_asked(step, given, message, ".source.format"))
    return made


def without_defaults(schema: Schema) -> Schema:
    """For what is recorded: it says what was, whatever the default is by then."""
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in kept:
        kept["properties"] = {name: without_defaults(below) for name, below in kept["properties"].items()}
    return kept


def _belongs(step: StepType) -> Schema:
    return {
        "rule": f"self.type == '{step.type}' || !has(self.{step.key})",
        "message": f"{step.key} belongs to type {step.type} only",
        "fieldPath": f".{step.key}",
        "reason": "FieldValueForbidden",
    }


def _asked(step: StepType, given: str, message: str, field: str) -> Schema:
    """A rule that ``given`` holds wherever ``step`` is used, in a variant, too."""
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
    """As it reads after a colon; a name in capitals stays."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


class _Dumper(yaml.SafeDumper):
    """Lists are indented, as in the rest of the files, and nothing is an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _to_yaml(value: Any, width: int) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
