"""YAML and JSON as kubectl reads them: YAML 1.1 by the rules of go-yaml 2, whose result is a JSON value.

PyYAML parses; this module decides the value of a scalar and of a mapping, because PyYAML and kubectl differ: for
kubectl ``y``, ``0o10``, ``1e3``, ``60:00`` and ``2001-01-01`` are true, 8, 1000 and two texts. What kubectl drops
without a message, such as the first of two equal keys, is an error.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_cli.verb import UsageError
from edgemodel.error_words import in_words, plain
from edgemodel.user_files import UnreadableFile, read_bytes

MAX_BYTES: Final = 3 * 2**20
"""The size in bytes above which a file is refused, since the API server accepts no larger request."""
MAX_VALUES: Final = 50_000
"""The number of values above which a file is refused, since a few aliases can stand for billions."""
MAX_DEPTH: Final = 100
_TOO_DEEP: Final = "{}: lists or mappings are nested too deeply"


@dataclass(frozen=True)
class Document:
    """One value of a file, with its place."""

    value: Any
    place: str
    """``document 2``, or ``item 3 of the List in document 2``; for messages."""


def read_value(file: Path) -> Any:
    """Returns the only value in a file of YAML or JSON; None if it is empty. Raises UsageError."""
    values = _values(file)
    if len(values) > 1:
        raise UsageError(f"{file} holds {len(values)} documents, want one")
    return values[0] if values else None


def read_documents(file: Path) -> list[Document]:
    """Returns the non-empty documents of a file of YAML or JSON, items of a List one by one.

    Raises UsageError.
    """
    documents = []
    for number, value in enumerate(_values(file), start=1):
        place = f"document {number}"
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
            items = enumerate(value["items"], start=1)
            documents += [Document(item, f"item {at} of the {kind} in {place}") for at, item in items]
        else:
            documents.append(Document(value, place))
    return documents


def _values(file: Path) -> list[Any]:
    values = _parsed(_text(file), file)
    if any(_is_deeper(value, MAX_DEPTH) for value in values):
        raise UsageError(_TOO_DEEP.format(file))
    return values


def _is_deeper(value: Any, levels: int) -> bool:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in below)


def _parsed(text: str, file: Path) -> list[Any]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return list(_json_values(text))
        except (ValueError, RecursionError) as error:
            as_json = error
        try:  # a YAML flow mapping begins the same way
            return _yaml_values(text, file)
        except UsageError as error:
            if isinstance(as_json, _TwiceError):
                raise UsageError(f"{file}: {as_json}") from error
            raise
    return _yaml_values(text, file)


def _text(file: Path) -> str:
    try:
        data = read_bytes(file, MAX_BYTES)
    except UnreadableFile as error:
        raise UsageError(str(error)) from error
    marked = (
        ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
        ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    )
    encoding = next((name for name, marks in marked if data.startswith(marks)), "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not text: byte {error.start} is not {encoding.removesuffix('-sig').upper()}; "
            "want YAML or JSON in UTF-8"
        ) from error


# --- JSON ---


class _TwiceError(ValueError):
    """A key occurs twice in one mapping."""


def _json_values(text: str) -> Iterator[Any]:
    """Yields consecutive JSON values, as kubectl accepts them. Raises ValueError."""
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
    position = len(text) - len(text.lstrip())
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        if value is not None:
            yield value
        position += len(text[position:]) - len(text[position:].lstrip())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise _TwiceError(f"the key {key} stands twice in one object")
        made[key] = value
    return made


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


# --- YAML ---

_PLAIN: Final = "plain"
"""The tag that the parser gives to a scalar without quotes and without a tag of its own."""
_YAML: Final = "tag:yaml.org,2002:"
_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_INFINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WHOLE: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LARGEST: Final = 2**64


def _yaml_values(text: str, file: Path) -> list[Any]:
    """Returns the values of the documents that are not empty. Raises UsageError."""
    try:
        return _composed(text, file)
    except UsageError as error:
        if "{{" in text:
            raise UsageError(f"{error}; is it a template of Helm? Render it first: helm template") from error
        raise


def _composed(text: str, file: Path) -> list[Any]:
    try:
        import yaml  # an extra: the compressor itself needs no YAML
    except ImportError as error:
        raise UsageError(f"{file} is not JSON, and reading YAML needs PyYAML: pip install pyyaml") from error

    class Loader(yaml.SafeLoader):  # the one in C overflows its stack where lists are nested deeply
        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            """Returns the tag of an untagged node, which distinguishes scalars with and without quotes."""
            if kind is yaml.ScalarNode:
                return _PLAIN if implicit[0] else f"{_YAML}str"
            return f"{_YAML}seq" if kind is yaml.SequenceNode else f"{_YAML}map"

    if found := re.search(r"^---[ \t]+[^\s#].*$", text, re.MULTILINE):
        line = text.count("\n", 0, found.start()) + 1
        raise UsageError(f"{file}, line {line}: kubectl refuses text behind '---': begin the document in the next line")
    try:
        values = [_Reader(file, yaml).value(node) for node in yaml.compose_all(text, Loader) if node is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        wrong = "".join(text.splitlines()[line - 1 : line])
        has_tab = "\t" in wrong[: len(wrong) - len(wrong.lstrip())]
        tab = "; YAML allows no tab at the beginning of a line" if has_tab else ""
        raise UsageError(f"{file}, line {line}: neither JSON nor YAML: {plain(str(error.problem))}{tab}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is neither JSON nor YAML: {in_words(error)}") from error
    except RecursionError as error:
        raise UsageError(_TOO_DEEP.format(file)) from error
    return [value for value in values if value is not None]


class _Reader:
    """A reader that turns the nodes of one document into a JSON value."""

    def __init__(self, file: Path, yaml: Any) -> None:
        self._file = file
        self._yaml = yaml
        self._count = 0
        self._open: list[Any] = []

    def value(self, node: Any) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error(node, f"more than {MAX_VALUES} values, with aliases counted by their contents")
        if isinstance(node, self._yaml.ScalarNode):
            return self._scalar(node)
        if any(node is one for one in self._open):
            raise self._error(node, "an anchor holds an alias of itself")
        self._open.append(node)
        made = self._list(node) if isinstance(node, self._yaml.SequenceNode) else self._mapping(node)
        self._open.pop()
        return made

    def _list(self, node: Any) -> list[Any]:
        return [self.value(item) for item in node.value]

    def _mapping(self, node: Any) -> dict[str, Any]:
        """Returns the mapping; ``<<`` merges at its place, over earlier keys, as in go-yaml."""
        made: dict[str, Any] = {}
        own: dict[str, int] = {}
        for key_node, value_node in node.value:
            if getattr(key_node, "value", None) == "<<" and key_node.tag in (_PLAIN, f"{_YAML}merge"):
                made |= self._merged(value_node)
                continue
            key, line = self._key(key_node), key_node.start_mark.line + 1
            if key in own:
                raise self._error(key_node, f"the key {key} stands in line {own[key]} already")
            own[key] = line
            made[key] = self.value(value_node)
        return made

    def _merged(self, node: Any) -> dict[str, Any]:
        parts = node.value if isinstance(node, self._yaml.SequenceNode) else [node]
        made: dict[str, Any] = {}
        for part in reversed(parts):
            if not isinstance(part, self._yaml.MappingNode):
                raise self._error(part, "'<<' merges a mapping, or a list of mappings")
            made |= self.value(part)
        return made

    def _key(self, node: Any) -> str:
        if not isinstance(node, self._yaml.ScalarNode):
            raise self._error(node, "a key is a list or a mapping, want a text")
        key = self._scalar(node)
        if key is None:
            raise self._error(node, "a key is null: write it in quotes")
        if isinstance(key, bool):
            return "true" if key else "false"
        return f"{key:g}" if isinstance(key, float) else str(key)

    def _scalar(self, node: Any) -> Any:
        text, tag = node.value, node.tag
        if tag == f"{_YAML}binary":
            raise self._error(node, "!!binary is not read: write the text itself")
        wants = tag.removeprefix(_YAML)
        if tag != _PLAIN and wants not in ("null", "bool", "int", "float"):
            return text
        if _INFINITE.fullmatch(text):
            raise self._error(node, f"{text} is no number of JSON: write it in quotes, if it is a text")
        value = resolve_scalar(text)
        kinds = {"null": type(None), "bool": bool, "int": int, "float": int | float}
        if tag != _PLAIN and (not isinstance(value, kinds[wants]) or (isinstance(value, bool) and wants != "bool")):
            raise self._error(node, f"{text!r} is no {wants}, as its tag says")
        return value

    def _error(self, node: Any, message: str) -> UsageError:
        return UsageError(f"{self._file}, line {node.start_mark.line + 1}: {message}")


def resolve_scalar(text: str) -> Any:
    """Returns go-yaml 2's value of a scalar without quotes: None, true or false, a number, or the text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[:1] not in "+-.0123456789":
        return text
    plain = text if text.startswith(".") else text.replace("_", "")
    if found := _WHOLE.fullmatch(plain):
        bases = ((16, found[2]), (2, found[3]), (8, found[4]), (10, found[5]))
        whole = next(int(digits, base) for base, digits in bases if digits is not None)
        whole = -whole if found[1] == "-" else whole
        if -(2**63) <= whole < _LARGEST:
            return whole
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        return text if number in (float("inf"), float("-inf")) else number
    return text
