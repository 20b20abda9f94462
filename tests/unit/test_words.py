"""The words of the tree: a public class has one home, and a docstring is a sentence."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("operator", "inference_server")

TWO_HOMES = {
    "Histogram": "buckets that a server counts into, and the same buckets as the operator reads them from Prometheus",
}
"""The public classes with two homes, and the reasons."""

OPENERS = (
    *("Of", "What", "Whatever", "Whether", "Where", "Which", "Who", "Whose", "How", "Why", "As", "That", "Those"),
    *("None", "Held", "Taken", "Stands", "Once", "Than", "Because"),
)
"""The words with which no docstring begins: they introduce a clause, or half a sentence."""

LEADS = (
    *("In", "On", "At", "By", "With", "Without", "Within", "For", "From", "To", "Until", "Under", "Over", "Into"),
    *("When", "If", "While", "After", "Before", "Since", "Unless", "During", "So", "Behind", "Beyond", "Between"),
    *("Beside", "Besides", "Below", "Above", "Like", "Up", "Only", "Instead"),
)
"""The words that may lead to the subject of a docstring, which then follows after a comma in its first sentence."""


DOCUMENTED = (*PROGRAMS, "charts", "crds", "docs", "examples", "tests/bench", "tests/support")
"""The folders in which every public class, function and method has a docstring."""


def modules(*folders: str) -> list[tuple[Path, ast.Module]]:
    return [module for folder in folders for module in modules_in(folder)]


@cache
def modules_in(folder: str) -> list[tuple[Path, ast.Module]]:
    return [
        (path.relative_to(ROOT), ast.parse(path.read_text()))
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.endswith("_pb2.py")
    ]


def test_no_public_class_has_two_homes() -> None:
    homes = defaultdict(list)
    for path, module in modules(*PROGRAMS):
        for node in module.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path))
    shared = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert shared.keys() == TWO_HOMES.keys(), shared


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yields every block of statements, from the outside in.

    Expressions, which hold no block of statements, are left out: they are most of a tree.
    """
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, field, [])
        if inner and isinstance(inner[0], ast.stmt):
            yield inner
        for child in inner:
            yield from blocks(child)


def docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields (line, text) of every docstring, including those below fields and constants."""
    for node in chain.from_iterable(blocks(module)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def is_fragment(text: str) -> bool:
    """Returns whether a docstring begins without naming its subject."""
    sentence = re.split(r"\.\s|\n\s*\n", text + "\n\n", maxsplit=1)[0]
    first = re.match(r"\w*", sentence)
    word = "" if first is None else first.group()
    return (
        sentence.rstrip().endswith("?")
        or word in OPENERS
        or (word in LEADS and ", " not in sentence.replace(",\n", ", "))
    )


@pytest.mark.parametrize(
    "text",
    ["Of one check.", "What is wrong.", "Whether it is ready.", "As the others.", "In 0..1.", "By name; all of them.",
     "With a name. A second sentence, with a comma.", "Does it answer alike?", "None where nothing was measured."],
)  # fmt: skip
def test_fragments_are_found(text: str) -> None:
    assert is_fragment(text)


@pytest.mark.parametrize(
    "text",
    ["Returns the pods of a node.", "The limit in bytes; None: no limit.", "No pod is left.", "``a`` as bytes.",
     "If a member\n    is lost,\n    the cell has failed.", "By law, all of them are equal."],
)  # fmt: skip
def test_sentences_are_accepted(text: str) -> None:
    assert not is_fragment(text)


def test_every_docstring_of_the_tree_names_its_subject() -> None:
    fragments = [
        f"{path}:{line}: {text.splitlines()[0]}"
        for path, module in modules(*PROGRAMS, "crds", "docs", "charts", "examples", "tests")
        for line, text in docstrings(module)
        if text and is_fragment(text)
    ]
    assert fragments == []


def undocumented(node: ast.AST, prefix: str = "") -> Iterator[tuple[int, str]]:
    """Yields (line, name) of every public class, function and method without a docstring, except for the overloads and
    setters of one that has it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or child.name.startswith("_"):
            continue
        is_repeated = any(ast.unparse(one).endswith(("overload", ".setter")) for one in child.decorator_list)
        if not is_repeated and not ast.get_docstring(child):
            yield child.lineno, prefix + child.name
        if isinstance(child, ast.ClassDef):
            yield from undocumented(child, f"{prefix}{child.name}.")


def test_what_is_public_and_undocumented_is_found() -> None:
    text = """
class A:
    def f(self): ...
    def _g(self): ...
def h():
    def inside(): ...
@overload
def i(): ...
"""
    assert [name for _, name in undocumented(ast.parse(text))] == ["A", "A.f", "h"]


def test_everything_public_has_a_docstring() -> None:
    missing = [f"{path}:{line}: {name}" for path, module in modules(*DOCUMENTED) for line, name in undocumented(module)]
    assert missing == []


def test_the_docstring_of_an_attribute_is_not_that_of_a_function() -> None:
    """A docstring that slipped from a function to the field above it, or by one field, is one kind of mistake."""
    slipped = [
        f"{path}:{text.lineno}"
        for path, module in modules(*PROGRAMS, "crds", "charts", "tests")
        for block in blocks(module)
        for field, text in pairwise(block)
        if isinstance(field, ast.Assign | ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and str(text.value.value).startswith(("Returns ", "Yields ", "Raises "))
    ]
    assert slipped == []
