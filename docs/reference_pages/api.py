"""The page of the API, from the CRDs. Examples are values of manifests that the tests put to a real API server."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from docs.reference_pages.page import ROOT, Page, code, heading_anchor, plain

SINCE = Path(__file__).with_name("api_since.txt")
CRDS = (ROOT / "crds" / "edgemodels.edgemodel.io.yaml", ROOT / "crds" / "edgemodelrevisions.edgemodel.io.yaml")
EXAMPLES = (ROOT / "examples", ROOT / "tests" / "contract" / "manifests" / "good")
MAX_EXAMPLE = 160
UNITS = {"Milliseconds": "milliseconds", "Seconds": "seconds", "Percent": "percent", "Bytes": "bytes"}
"""The unit of a number by the end of its name; a number without one is a count."""

_DEFAULT = re.compile(r"\s*Default: (?P<value>.*)$", re.DOTALL)
_DECIMALS = re.compile(
    r"decimal string,?(?: from)? "
    r'(?P<range>above \d+, (?:at most|up to) \d+(?:\.\d+)?|"?\d[\d.]*"? to "?\d+(?:\.\d+)?"?)'
)
_VALUE = re.compile(r'(?:"[^"]*"|-?\d+(?:\.\d+)?|true|false|[A-Z]\w*)(?=,|$)')

MADE_UP = {
    "acceptSignature": "3f9d02c1ab",
    "excludeLayers": "[stem.conv]",
    "excludeNodes": "[/head/Gemm]",
    "floatOpTypes": "[Softmax]",
    "intermediateLayers": "[layer4.conv2]",
    "minAccuracyPercent": '"90"',
    "opTypes": "[MatMul]",
    "tolerance": '"0.05"',
}
"""Examples, by the name of the field, of what no manifest of the tests sets and the default does not show."""


@dataclass(frozen=True)
class Field:
    """A field of one kind of object."""

    kind: str
    path: str
    """The path in the object; ``[]`` stands for each item of a list, ``.*`` for each key of a map."""
    schema: Mapping[str, Any]
    required: bool

    @property
    def name(self) -> str:
        """Returns the last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def id(self) -> str:
        """Returns its name in the whole API: ``EdgeModel.spec.source.uri``."""
        return f"{self.kind}.{self.path}".replace("[]", "")

    @property
    def title(self) -> str:
        """Returns its heading, of which forges and the site make its anchor; the kind is left out for EdgeModel."""
        return self.id.removeprefix("EdgeModel.")

    @property
    def anchor(self) -> str:
        """Returns its anchor: ``specsourceuri``."""
        return heading_anchor(self.title)

    @cached_property
    def below(self) -> tuple["Field", ...]:
        """Returns the fields of the object, or of the items of the list, that this field holds."""
        schema, path = self.schema, self.path
        if "items" in schema:
            schema, path = schema["items"], f"{path}[]"
        needed = schema.get("required", ())
        names = schema.get("properties", {})
        return tuple(Field(self.kind, f"{path}.{name}", item, name in needed) for name, item in names.items())

    @property
    def rules(self) -> tuple[str, ...]:
        """Returns the messages of the rules of this field, and of those of its items."""
        holders = (self.schema, self.schema.get("items", {}))
        return tuple(rule["message"] for schema in holders for rule in schema.get("x-kubernetes-validations", ()))

    @property
    def type(self) -> str:
        """Returns its type in a word or a few."""
        return _type(self.schema)

    @property
    def unit(self) -> str:
        """Returns the unit of a number; empty if it is a count, or no number."""
        return next((unit for end, unit in UNITS.items() if self.name.endswith(end)), "") if not self.below else ""

    @property
    def range(self) -> str:
        """Returns what values are allowed, without a pattern; empty if the schema does not limit them."""
        decimals = _DECIMALS.search(self._described)
        return decimals["range"].strip() if decimals is not None else _range(self.schema)

    @property
    def default(self) -> str:
        """Returns the default as the description tells it; empty without one."""
        match = _DEFAULT.search(self._described)
        return match["value"].rstrip(".") if match is not None else ""

    @property
    def text(self) -> str:
        """Returns the description without the default."""
        return _DEFAULT.sub("", self._described)

    @property
    def _described(self) -> str:
        return " ".join(str(self.schema.get("description", "")).split())


def _type(schema: Mapping[str, Any]) -> str:
    if "items" in schema:
        return f"list of {_plural(_type(schema['items']))}"
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_plural(_type(schema['additionalProperties']))}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))


def _plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def _range(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(code(item) for item in schema["enum"])
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " keys"),
        ("minLength", "maxLength", " characters"),
    ):
        least, most = schema.get(low), schema.get(high)
        if least is not None and most is not None:
            return f"{least} to {most}{unit}"
        if most is not None:
            return f"at most {most}{unit}"
        if least is not None:
            return f"at least {least}{unit}"
    return ""


@cache
def kinds() -> dict[str, tuple[Field, ...]]:
    """Returns the top-level fields of each kind, without those that every object of Kubernetes has."""
    found = {}
    for path in CRDS:
        definition = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        (version,) = definition["versions"]
        schema = version["schema"]["openAPIV3Schema"]
        kind, needed = definition["names"]["kind"], schema.get("required", ())
        found[kind] = tuple(
            Field(kind, name, item, name in needed)
            for name, item in schema["properties"].items()
            if name not in ("apiVersion", "kind", "metadata")
        )
    return found


@cache
def describe_kinds() -> dict[str, str]:
    """Returns the description of each kind."""
    found = {}
    for path in CRDS:
        definition = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        schema = definition["versions"][0]["schema"]["openAPIV3Schema"]
        found[definition["names"]["kind"]] = " ".join(schema["description"].split())
    return found


@dataclass(frozen=True)
class Section:
    """The fields of one object, or of the items of one list."""

    field: Field
    same_as: Field | None
    """A field whose fields are the same and have their entries there; None if they have them here."""


@cache
def sections() -> list[Section]:
    """Returns the sections in the order of the page."""
    seen: list[tuple[Any, Field]] = []
    found: list[Section] = []

    def add(field: Field) -> None:
        shape = [(item.name, _shape(item.schema), item.required) for item in field.below]
        same_as = next((like for known, like in seen if known == shape), None) if len(shape) > 1 else None
        found.append(Section(field, same_as))
        if same_as is None:
            seen.append((shape, field))
            for item in field.below:
                if item.below:
                    add(item)

    for fields in kinds().values():
        for field in fields:
            add(field)
    return found


def _shape(schema: Any) -> Any:
    """Returns ``schema`` without what may differ between two uses of one type."""
    if isinstance(schema, dict):
        return {key: _shape(value) for key, value in schema.items() if key not in ("description", "default")}
    return [_shape(item) for item in schema] if isinstance(schema, list) else schema


@cache
def fields() -> list[Field]:
    """Returns every field that has an entry of its own, in the order of the page."""
    top = [field for found in kinds().values() for field in found]
    return [*top, *(item for section in sections() if section.same_as is None for item in section.field.below)]


# --- since ---


def since() -> dict[str, str]:
    """Returns the version of the chart that brought each field, by its id: what is written down, else the present."""
    known = dict(line.split(" ") for line in SINCE.read_text().splitlines()) if SINCE.exists() else {}
    chart = yaml.load((ROOT / "charts" / "edgemodel" / "Chart.yaml").read_text(), yaml.CSafeLoader)
    return {field.id: known.get(field.id, chart["version"]) for field in fields()}


def _since_file() -> Mapping[Path, str]:
    return {SINCE: "".join(f"{name} {version}\n" for name, version in since().items())}


# --- examples ---


@cache
def examples() -> dict[str, str]:
    """Returns, by the id of a field, the shortest value that a manifest has for it, in YAML on one line.

    The examples of the project come first; where no manifest has a value, the default or one of MADE_UP does.
    """
    found: dict[str, str] = {}
    manifests: set[str] = set()
    for field in fields():
        shown = _VALUE.match(field.default)
        if field.id.startswith("EdgeModel.spec.") and (field.name in MADE_UP or shown is not None):
            found[field.id] = MADE_UP.get(field.name) or _yaml(field, shown[0] if shown is not None else "")
    for folder in EXAMPLES:
        here: dict[str, str] = {}
        for path in sorted(folder.rglob("*.yaml")):
            for item in yaml.load_all(path.read_text(), yaml.CSafeLoader):
                if isinstance(item, dict) and item.get("kind") in ("EdgeModel", "EdgeModelRevision"):
                    for top in ("spec", "status"):
                        _collect(f"{item['kind']}.{top}", item.get(top, {}), here)
        # examples/ comes first: its values win, whatever their length.
        found |= {name: text for name, text in here.items() if name not in manifests}
        manifests |= here.keys()
    return found


def _yaml(field: Field, value: str) -> str:
    """Returns a value of a description in YAML: a string that looks like a number, or like none, is quoted."""
    as_text = str(field.schema.get("type")) == "string" and '"' not in value
    return f'"{value}"' if as_text and (value[0].isdigit() or value == "None") else value


def _collect(name: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _collect(f"{name}.{key}", item, found)
    if isinstance(value, list):
        for key, item in ((key, item) for entry in value if isinstance(entry, dict) for key, item in entry.items()):
            _collect(f"{name}.{key}", item, found)
    written = yaml.dump(value, Dumper=yaml.CSafeDumper, default_flow_style=True, width=10**6, allow_unicode=True)
    text = written.removesuffix("...\n").strip()
    if value not in ({}, [], "", None) and len(text) <= MAX_EXAMPLE:
        found[name] = min(found.get(name, text), text, key=lambda item: (len(item), item))


# --- the page ---


def _body() -> Iterator[str]:
    told = describe_kinds()
    yield (
        "The API version is `edgemodel.io/v1alpha1`. `kubectl explain edgemodel.spec --recursive` has the same "
        "texts. The examples are valid values, most of them from manifests of the tests. The link of a field is its "
        "path in lower case without dots, such as `api.md#specrolloutsoakseconds`. A field is there since the version "
        "of its kind, unless its entry names another one.\n\n"
    )
    order, versions = sections(), since()
    for kind in told:
        yield f"- [{kind}](#{kind.lower()})\n"
        for section in order:
            if section.field.kind == kind and section.field.path.count(".") < 3:
                indent = "  " * (1 + section.field.path.count("."))
                yield f"{indent}- [{section.field.title}](#{section.field.anchor})\n"
    found = examples()
    for kind, text in told.items():
        first = min((versions[name] for name in versions if name.startswith(f"{kind}.")), key=_as_numbers)
        yield f"\n## {kind}\n\n{plain(text)} Since {first}.\n"
        for section in order:
            if section.field.kind == kind:
                yield from _section(section, found, versions, first)


def _as_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _section(section: Section, found: Mapping[str, str], versions: Mapping[str, str], first: str) -> Iterator[str]:
    field = section.field
    yield f"\n### {field.title}\n\n{plain(field.text)}\n\n"
    if "." in field.path:
        yield f"- Type: {'; '.join(_facts(field))}\n"
    yield from _notes(field, None, versions.get(field.id, first), first)
    if section.same_as is not None:
        yield f"\nIt has the same fields as [{section.same_as.title}](#{section.same_as.anchor}).\n"
        return
    groups = [item for item in field.below if item.below]
    yield "\nObjects:\n\n" if groups else ""
    for item in groups:
        yield f"- [{item.name}](#{item.anchor}) ({'; '.join(_facts(item))}): {plain(_first_sentence(item.text))}\n"
    for item in field.below:
        if not item.below:
            yield f"\n#### {item.title}\n\n{plain(item.text)}\n\n- Type: {'; '.join(_facts(item))}\n"
            yield from _notes(item, found.get(item.id), versions[item.id], first)


def _facts(field: Field) -> list[str]:
    facts = [field.type, "required" if field.required else "", field.unit, field.range]
    return [fact for fact in facts if fact]


def _notes(field: Field, example: str | None, version: str, first: str) -> Iterator[str]:
    yield f"- Default: {plain(field.default)}\n" if field.default else ""
    yield f"- Example: {code(f'{field.name}: {example}')}\n" if example is not None else ""
    yield f"- Since: {version}\n" if version != first else ""
    yield from (f"- Rule: {plain(rule)}\n" for rule in field.rules)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.) (?=[A-Z])", text, maxsplit=1)[0]


PAGE = Page("api", "API", "every field of EdgeModel and EdgeModelRevision", _body, _since_file)
