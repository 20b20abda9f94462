"""Structural schemas, as CRDs hold them: fills in defaults and validates like the API server.

A structural schema is a small, regular part of OpenAPI: each field is declared with its type in one place. General
validators of JSON schema support neither its defaults inside lists, nor errors for unknown fields, nor the keywords
``x-kubernetes-*``, and their messages are about the schema instead of the manifest.
"""

import copy
import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_cli.manifest.cel import CelError, parse_rule
from edge_cli.manifest.go_regex import compile_go
from edgemodel.json_text import parse_json

Schema = Mapping[str, Any]

KEYWORDS: Final = frozenset({
    "type", "properties", "additionalProperties", "items", "required", "default", "nullable", "enum", "format",
    "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties",
    "maxProperties", "anyOf", "description", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-validations",
})  # fmt: skip
"""The supported keywords. ``anyOf`` occurs only beside x-kubernetes-int-or-string, and adds nothing to it."""
_BOUNDS: Final[tuple[tuple[str, str, Callable[[Any, Any], bool]], ...]] = (
    ("minimum", "at least {}", lambda value, bound: value >= bound),
    ("maximum", "at most {}", lambda value, bound: value <= bound),
    ("minLength", "at least {} characters", lambda value, bound: len(value) >= bound),
    ("maxLength", "at most {} characters", lambda value, bound: len(value) <= bound),
    ("minItems", "at least {} items", lambda value, bound: len(value) >= bound),
    ("maxItems", "at most {} items", lambda value, bound: len(value) <= bound),
    ("minProperties", "at least {} entries", lambda value, bound: len(value) >= bound),
    ("maxProperties", "at most {} entries", lambda value, bound: len(value) <= bound),
)
_BLOCKING_BOUNDS: Final = frozenset({"maxLength", "maxItems", "maxProperties"})
_WORDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_MAX_SHOWN: Final = 60


@dataclass(frozen=True)
class FieldError:
    """One error in a manifest."""

    field: str
    """The path of the field, e.g. ``spec.variants[0].name``."""
    message: str
    """The rest of a sentence that begins with the field."""
    is_rule: bool = False
    """True if it is the message of a rule, which replaces that of a pattern of the same field."""
    blocks_rules: bool = False
    """True if no rule is evaluated beside it, because rules rely on what it denies."""

    def __str__(self) -> str:
        return f"{self.field}{':' if self.is_rule else ''} {self.message}"


def complete(value: Any, schema: Schema) -> Any:
    """Returns a copy of ``value`` as the API server stores it: with defaults, and with whole numbers as such."""
    return _complete(copy.deepcopy(value), schema)


def unknown_fields(value: Any, schema: Schema, path: str) -> list[FieldError]:
    """Returns an error for each field of ``value`` that ``schema`` does not declare, as kubectl apply refuses it."""
    return [
        FieldError(_below(at, name), _unknown(name, node, schema, path))
        for at, here, node in _nodes(value, schema, path)
        if isinstance(here, Mapping) and "properties" in node
        for name in here
        if name not in node["properties"]
    ]


def errors(value: Any, schema: Schema, path: str) -> list[FieldError]:
    """Returns the errors of ``value``, which is complete and has no unknown field."""
    nodes = list(_nodes(value, schema, path))
    found = [error for at, here, node in nodes for error in _node_errors(here, node, at)]
    if any(error.blocks_rules for error in found):
        return found
    ruled = [error for at, here, node in nodes for error in _rule_errors(here, node, at)]
    told = {error.field for error in ruled}
    return [error for error in found if error.field not in told] + ruled


def _complete(value: Any, schema: Schema) -> Any:
    if isinstance(value, dict):
        known: Mapping[str, Schema] = schema.get("properties", {})
        values: Schema | None = schema.get("additionalProperties")
        for name, below in known.items():
            if "default" in below and (name not in value or _is_left_out(value[name], below)):
                value[name] = copy.deepcopy(below["default"])
        for name in list(value):
            node = known.get(name, values)
            if node is None:
                continue
            if _is_left_out(value[name], node):
                del value[name]
            else:
                value[name] = _complete(value[name], node)
        return value
    if isinstance(value, list):
        return [_complete(item, schema.get("items", {})) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)  # in JSON, 1.0 and 1 are one number
    return value


def _is_left_out(value: Any, schema: Schema) -> bool:
    """Returns whether ``value`` is a forbidden null, which the API server treats as an absent field."""
    return value is None and not schema.get("nullable", False)


def _nodes(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, Any, Schema]]:
    """Yields (path, value, schema) of ``value`` and of all its parts that ``schema`` declares."""
    yield path, value, schema
    if isinstance(value, Mapping):
        known, values = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            node = known.get(name, values)
            if node is not None:
                yield from _nodes(item, node, _below(path, name))
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from _nodes(item, schema["items"], f"{path}[{number}]")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _node_errors(value: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    if value is None and schema.get("nullable", False):
        return
    kind = "int-or-string" if schema.get("x-kubernetes-int-or-string") else schema.get("type")
    if kind is not None and not _is_of(value, kind):
        yield FieldError(path, f"is {_shown(value)}, want {_wanted(value, kind, schema)}", blocks_rules=True)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield FieldError(path, _not_supported(value, schema["enum"]), blocks_rules=True)
    if "pattern" in schema and isinstance(value, str) and not compile_go(schema["pattern"]).search(value):
        yield FieldError(path, f"is {_shown(value)}, want a text of the pattern {schema['pattern']}")
    for keyword, words, holds in _BOUNDS:
        if keyword in schema and _is_bounded(value, keyword) and not holds(value, schema[keyword]):
            has = f"has {len(value)}" if isinstance(value, list | Mapping) else f"is {_shown(value)}"
            message = f"{has}, want {words.format(schema[keyword])}"
            yield FieldError(path, message, blocks_rules=keyword in _BLOCKING_BOUNDS)
    if isinstance(value, Mapping):
        for name in schema.get("required", ()):
            if name not in value:
                yield FieldError(_below(path, name), "is missing", blocks_rules=True)
    if isinstance(value, list):
        yield from _twice(value, schema, path)


def _twice(items: Sequence[Any], schema: Schema, path: str) -> Iterator[FieldError]:
    """Yields an error for each repeated item of a list, by its keys if the list is a map."""
    if schema.get("x-kubernetes-list-type") not in ("set", "map"):
        return
    keys = schema.get("x-kubernetes-list-map-keys")
    seen: set[str] = set()
    for number, item in enumerate(items):
        if keys and not isinstance(item, Mapping):
            continue
        key = {name: item[name] for name in keys if name in item} if keys else item
        text = json.dumps(key, sort_keys=True)
        if text in seen:
            shown = ", ".join(f"{name} {given}" for name, given in key.items()) if keys else _shown(key)
            yield FieldError(f"{path}[{number}]", f"is there twice: {shown}")
        seen.add(text)


def _rule_errors(value: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    for rule in schema.get("x-kubernetes-validations", ()) if value is not None else ():
        if "oldSelf" in rule["rule"]:
            continue  # it compares with the previous object, and there is none
        try:
            holds = parse_rule(rule["rule"])({"self": value})
            message = rule["message"]
        except CelError as error:
            holds, message = False, f"{rule['message']} ({error})"
        if not holds:
            yield FieldError((path + rule.get("fieldPath", "")).removeprefix("."), message, is_rule=True)


def _is_of(value: Any, kind: str) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return {
        "string": isinstance(value, str),
        "integer": is_whole,
        "number": is_whole or isinstance(value, float),
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, Mapping),
        "int-or-string": is_whole or isinstance(value, str),
    }[kind]


def _is_bounded(value: Any, keyword: str) -> bool:
    """Returns whether ``keyword`` applies to a value of this type."""
    if keyword in ("minimum", "maximum"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {"Length": str, "Items": list, "Properties": Mapping}[keyword[3:]])


def _wanted(value: Any, kind: str, schema: Schema) -> str:
    """Returns the words for the type, with the remedy if YAML gave the value another type."""
    if kind == "int-or-string":
        return "a whole number or a text in quotes"
    words = _WORDS[kind]
    if kind == "string" and isinstance(value, bool) and "enum" in schema:
        return f"{words}: write it in quotes (YAML takes on, off, yes, no, y and n without quotes as true or false)"
    if kind == "string" and isinstance(value, bool | int | float):
        return f"{words}: write it in quotes, {json.dumps(_plain(value))}"
    if isinstance(value, str) and kind in ("integer", "number", "boolean") and _is_of(_unquoted(value), kind):
        return f"{words}: write it without quotes"
    return words


def _unquoted(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return None


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _not_supported(value: Any, options: Sequence[Any]) -> str:
    close = _closest(str(value), [str(option) for option in options])
    listed = ", ".join(map(str, options))
    return f"is {_shown(value)}, want one of {listed}" + (f"; did you mean {close}?" if close else "")


def _unknown(name: str, node: Schema, root: Schema, path: str) -> str:
    """Returns the message for an unknown field: the probable name, or where it belongs, or the known fields."""
    close = _closest(name, list(node["properties"]))
    if close:
        return f"is no field; did you mean {close}?"
    places = {at for at, found in _declared(root, path) if _lower(found) == _lower(name)}
    if places:
        depth = min(at.count(".") for at in places)
        nearest = " or ".join(sorted(at for at in places if at.count(".") == depth))
        return f"is no field; {name} belongs to {nearest}"
    return f"is no field; the fields here are {', '.join(sorted(node['properties']))}"


def _declared(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    """Yields (path, name) of each field that ``schema`` declares below itself."""
    for name, below in schema.get("properties", {}).items():
        yield path, name
        yield from _declared(below, _below(path, name))
    if "items" in schema:
        yield from _declared(schema["items"], f"{path}[]")


def _closest(name: str, names: Sequence[str]) -> str | None:
    by_lower = {_lower(one): one for one in names}
    found = difflib.get_close_matches(_lower(name), by_lower, 1, 0.7)
    return by_lower[found[0]] if found else None


def _lower(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _shown(value: Any) -> str:
    """Returns ``value`` for a message, with its type if the value alone does not show it."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
