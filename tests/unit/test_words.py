"""The words of the tree: a public class has one home, and a docstring is a sentence."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("operator", "inference_server")

TWO_HOMES = {
    "Histogram": "buckets that a server counts into, and the same buckets as the operator reads them from Prometheus",
}
"""Public classes with two homes, and why that is right."""

FRAGMENT = re.compile(r"(Of|What|Whether|As|Where|Which|Who|How|Those|By) (?!.*\?$)")
"""How a docstring begins that has no subject; a question may."""


@cache
def modules(*folders: str) -> tuple[tuple[Path, ast.Module], ...]:
    return tuple(
        (path.relative_to(ROOT), ast.parse(path.read_text()))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.endswith("_pb2.py")
    )


def test_no_public_class_has_two_homes() -> None:
    homes = defaultdict(list)
    for path, module in modules(*PROGRAMS):
        for node in module.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path))
    shared = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert shared.keys() == TWO_HOMES.keys(), shared


def test_docstrings_of_modules_name_their_subject() -> None:
    docstrings = {
        path: ast.get_docstring(module) or "" for path, module in modules(*PROGRAMS, "crds", "docs", "charts/images")
    }
    assert [f"{path}: {text}" for path, text in docstrings.items() if FRAGMENT.match(text.partition("\n")[0])] == []


def test_docstrings_of_public_functions_and_classes_are_sentences() -> None:
    fragments = []
    for path, module in modules(*PROGRAMS, "crds", "docs", "charts/images"):
        for node in ast.walk(module):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name[0] == "_":
                continue
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if FRAGMENT.match(first):
                fragments.append(f"{path}:{node.lineno} {node.name}: {first}")
    assert fragments == []
