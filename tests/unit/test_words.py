"""The words of the tree: a class has one home, a docstring is a sentence, and the glossary names code that exists."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("operator", "inference_server")

TWO_HOMES = {
    "Histogram": "buckets that a server counts into, and the same buckets as the operator reads them from Prometheus",
}
"""Public classes with two homes, and why that is right."""

FRAGMENT = re.compile(r"(Of|What|Whether|As|Where|Which|Who|How|Those|By) (?!.*\?$)")
"""How a docstring begins that has no subject; a question may."""


def modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.name.endswith("_pb2.py"):
                yield path.relative_to(ROOT), ast.parse(path.read_text())


def test_no_public_class_has_two_homes() -> None:
    homes = defaultdict(list)
    for path, module in modules(*PROGRAMS):
        for node in module.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path))
    shared = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert shared.keys() == TWO_HOMES.keys(), shared


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


def entries() -> list[tuple[str, list[str]]]:
    """Returns (word, names in its code column) of each row of the glossary."""
    rows = re.findall(
        r"^\| \*\*([^*|]+)\*\* \|[^|]+\| ([^|]+) \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE
    )
    return [(word, re.findall(r"`([^`]+)`", code)) for word, code in rows]


@pytest.mark.parametrize(("word", "names"), entries(), ids=[word for word, _ in entries()])
def test_the_glossary_names_code_that_exists(word: str, names: list[str]) -> None:
    """A name is ``module.Name`` below ``operator/`` or at the root, or a path of fields of the definitions."""
    assert names, word
    for name in names:
        assert _is_code(name) or _is_field(name), f"{word}: {name}"


def _is_code(name: str) -> bool:
    module, _, member = name.rpartition(".")
    declared = re.compile(rf"^(class |def |async def )?{member}\b", re.MULTILINE)
    for root in (ROOT / "operator", ROOT):
        base = root.joinpath(*module.split("."))
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if module and file.is_file() and declared.search(file.read_text()):
                return True
    return False


def _is_field(name: str) -> bool:
    """Finds each part of a path such as ``status.rollout.wave`` in the definitions."""
    text = "".join(path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml")))
    return all(re.search(rf"^ +{re.escape(part)}:", text, re.MULTILINE) for part in name.split("."))


def test_the_glossary_has_each_word_once() -> None:
    words = [word for word, _ in entries()]
    assert len(words) == len(set(words)) > 20
