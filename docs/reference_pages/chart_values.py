"""The page of the chart's values, from values.yaml with its comments, and values.schema.json."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from docs.reference_pages.page import ROOT, Page, anchor, cell, code

CHART = ROOT / "charts" / "edgemodel"
_KEY = re.compile(r"^(?P<indent> *)(?P<name>\w+):(?P<rest>.*)$")
_TRAILING = re.compile(r"(?:^|\s)# (.*)$")
_CHOICE = re.compile(r"\w+( \| \w+)+$")
_DEFAULT = re.compile(r"\s*Default: .*$")


@dataclass(frozen=True)
class Comment:
    """The comment of a key in values.yaml."""

    above: str = ""
    """The lines above it."""
    behind: str = ""
    """The text behind its value."""


@dataclass(frozen=True)
class Value:
    """One value of the chart."""

    path: str
    default: Any
    schema: Mapping[str, Any]
    comment: "Comment"

    @property
    def meaning(self) -> str:
        """Returns the comment above it, else the schema's description; what stands behind the value follows."""
        described = _DEFAULT.sub("", str(self.schema.get("description", "")))
        behind = "" if _CHOICE.match(self.comment.behind) else self.comment.behind
        told = self.comment.above or described
        return f"{told} ({behind})" if told and behind else told or behind

    @property
    def type(self) -> str:
        """Returns its type, or the texts that it can be."""
        if "enum" in self.schema:
            return ", ".join(f"`{item}`" for item in self.schema["enum"])
        found = self.schema.get("type", "any")
        told = " or ".join(found) if isinstance(found, list) else str(found)
        least, most = self.schema.get("minimum"), self.schema.get("maximum")
        return f"{told}, {least} to {most}" if least is not None and most is not None else told


def values() -> list[Value]:
    """Returns every value that can be set, in the order of values.yaml; groups are left out."""
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    return list(_below("", yaml.load(text, yaml.CSafeLoader), schema, schema["definitions"], comments(text)))


def groups() -> dict[str, str]:
    """Returns the comment of each top-level key."""
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    found = comments(text)
    return {
        name: found.get(name, Comment()).above or str(schema[name].get("description", ""))
        for name in yaml.load(text, yaml.CSafeLoader)
    }


def _below(
    path: str, default: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], told: Mapping[str, Comment]
) -> Iterator[Value]:
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    properties = schema.get("properties", {})
    is_group = isinstance(default, dict) and default and default.keys() <= properties.keys()
    if not is_group or path.endswith(".resources"):
        yield Value(path, default, schema, told.get(path, Comment()))
        return
    for name, item in default.items():
        below = f"{path}.{name}" if path else name
        yield from _below(below, item, properties[name], definitions, told)


def comments(text: str) -> dict[str, Comment]:
    """Returns the comment of each key by its path."""
    found: dict[str, Comment] = {}
    path: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# ---") or not stripped:
            above = []
        elif stripped.startswith("#"):
            above.append(stripped.removeprefix("#").strip())
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            path = [item for item in path if item[0] < indent] + [(indent, match["name"])]
            behind = _TRAILING.search(match["rest"])
            comment = Comment(" ".join(above), behind[1].strip() if behind else "")
            found[".".join(name for _, name in path)] = comment
            above = []
        else:
            above = []
    return found


def _body() -> Iterator[str]:
    yield (
        "The values of `charts/edgemodel`, with their defaults. An installation on a bare K3s cluster needs no change. "
        "Helm refuses a value that the chart does not know.\n\n"
    )
    told, found = groups(), values()
    yield from (f"- [{name}](#{name.lower()})\n" for name in told)
    for name, comment in told.items():
        mine = [value for value in found if value.path.partition(".")[0] == name]
        is_group = [value.path for value in mine] != [name]
        yield f"\n## {name}\n\n{comment if is_group and comment else ''}\n\n".replace("\n\n\n\n", "\n\n")
        yield "| value | type | default | meaning |\n|---|---|---|---|\n"
        for value in mine:
            shown = cell(json.dumps(value.default, ensure_ascii=False))
            yield (
                f"| {anchor(value.path)}`{value.path}` | {cell(value.type)} | {code(shown)} | {cell(value.meaning)} |\n"
            )


PAGE = Page("chart-values", "Chart values", "every value of the chart, with its default", _body)
