"""Decisions read fields, not keys of the API's JSON, which is parsed and written once, at the edges."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

DECIDE = Path(__file__).resolve().parents[3] / "operator" / "edge_operator" / "decide"

OWN_KEYS = {
    "analysis/checks/accuracy.py": "the settings of a check are declared by name in the same file",
    "analysis/checks/error_rate.py": "the settings of a check are declared by name in the same file",
    "analysis/checks/golden_agreement.py": "the settings of a check are declared by name in the same file",
    "analysis/checks/promql.py": "the settings of a check are declared by name in the same file",
    "analysis/durations.py": "the settings of checks of times are declared by name in the same file",
    "analysis/evidence.py": "the letter e in a number as Python prints it",
    "measurement/plan.py": "the labels of series in Prometheus",
    "measurement/queries.py": "the label of each sum that one query returns",
    "measurement/series.py": "the labels of samples from Prometheus",
    "resources.py": "the resources of a container are written alike in the spec, the chart and a pod",
    "artifact/allowed_images.py": "the slash in the name of an image",
}
"""The files with string keys, and their meaning: none is a key of an object of the API server."""


def string_keys(module: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields line and key of each subscript, ``get``, ``in`` and dictionary with a literal text as its key."""
    for node in ast.walk(module):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key))) if not _is_annotation(node):
                yield node.lineno, key
            case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=str(key)), *_]):
                yield node.lineno, key
            case ast.Compare(left=ast.Constant(value=str(key)), ops=[ast.In() | ast.NotIn()]):
                yield node.lineno, key
            case ast.Dict(keys=keys):
                yield from ((node.lineno, key.value) for key in keys if isinstance(key, ast.Constant) and _is_text(key))


def _is_text(key: ast.Constant) -> bool:
    return isinstance(key.value, str)


def _is_annotation(node: ast.Subscript) -> bool:
    """Returns whether it is an annotation such as ``type["Name"]``, which names a class that is defined later."""
    return isinstance(node.value, ast.Name) and node.value.id in ("type", "Literal")


def test_decisions_know_no_keys_of_the_api() -> None:
    found = {}
    for path in sorted(DECIDE.rglob("*.py")):
        name = str(path.relative_to(DECIDE))
        keys = [f"line {line}: {key}" for line, key in string_keys(ast.parse(path.read_text()))]
        if keys:
            found[name] = keys
    assert {name: keys for name, keys in found.items() if name not in OWN_KEYS} == {}
    assert OWN_KEYS.keys() <= found.keys(), "an exception that is none any more"


@pytest.mark.parametrize(
    "text",
    ['status["checks"]', 'status.get("checks")', 'status.pop("checks", None)', '"checks" in status', '{"checks": []}'],
)
def test_each_way_to_read_or_write_a_key_is_found(text: str) -> None:
    assert [key for _, key in string_keys(ast.parse(text))] == ["checks"]
