"""The names in ARCHITECTURE.md exist: folders, files, functions, classes and make targets.

Below a heading that names a folder in backticks, the indented block lists that folder: a line begins with a file or a
folder, and a line that is indented further lies within it. Everywhere else a path stands in backticks, complete or from
any folder on; `file.py: name, name` means that the file defines these names.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()

_SPAN = re.compile(r"`([^`]+)`")
_PATH = re.compile(r"[\w.{},-]*(?:/[\w.{},-]+)*(?:\.(?:py|md|yaml|toml|proto|json)|/)(?![\w/])")
_IGNORED = {"build", ".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "edgemodel.egg-info"}


@cache
def paths() -> frozenset[str]:
    """Returns every file and folder of the tree, relative to its root."""
    found = set()
    for top in ROOT.iterdir():
        if top.name not in _IGNORED:
            inside = top.rglob("*") if top.is_dir() else ()
            found |= {str(path.relative_to(ROOT)) for path in (top, *inside) if not _IGNORED & set(path.parts)}
    return frozenset(found)


@cache
def ends() -> dict[str, list[str]]:
    """Returns the paths with each possible end, from any folder on."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths()):
        parts = path.split("/")
        for first in range(len(parts)):
            found.setdefault("/".join(parts[first:]), []).append(path)
    return found


@cache
def defined(path: str) -> frozenset[str]:
    """Returns the names that a module defines: functions, classes, ``Class.member``, constants."""
    found: set[str] = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(prefix + name)
                case ast.ClassDef(name=name):
                    found.add(prefix + name)
                    visit(node.body, f"{name}.")
                case ast.Assign(targets=targets):
                    found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    found.add(prefix + name)

    visit(ast.parse((ROOT / path).read_text()).body, "")
    return frozenset(found)


def expanded(path: str) -> list[str]:
    """Returns the paths that ``a/{b,c}.py`` stands for."""
    found = re.fullmatch(r"(.*)\{([^}]*)\}(.*)", path)
    return [found[1] + each + found[3] for each in found[2].split(",")] if found else [path]


def problems(text: str) -> list[str]:
    """Returns what ``text`` names and the tree lacks."""
    return [*_listing_problems(text), *_span_problems(text)]


def _listing_problems(text: str) -> list[str]:
    found: list[str] = []
    base = ""
    nested: list[tuple[int, str]] = []
    for line in text.splitlines():
        if line.startswith("#"):
            folder = _SPAN.search(line)
            base, nested = (folder[1].rstrip("/") if folder else ""), []
            continue
        entry = re.match(r"( {4,})([\w.-]+(?:/[\w.-]+)*(?:\.py|/))(?= |$)", line)
        if not base or entry is None:
            continue
        depth = len(entry[1])
        nested = [(indent, folder) for indent, folder in nested if indent < depth]
        path = "/".join([base, *(folder for _, folder in nested), entry[2].rstrip("/")])
        if path not in paths():
            found.append(f"there is no {path}")
        if entry[2].endswith("/"):
            nested.append((depth, entry[2].rstrip("/")))
    return found


def _span_problems(text: str) -> list[str]:
    found: list[str] = []
    for span in _SPAN.findall(text):
        path, _, names = span.partition(": ")
        if match := re.fullmatch(r"make ([a-z-]+)", span):
            if f"\n{match[1]}:" not in (ROOT / "Makefile").read_text():
                found.append(f"there is no make target {match[1]}")
        elif _PATH.fullmatch(path):
            for each in expanded(path):
                places = ends().get(each.rstrip("/"), [])
                if not places:
                    found.append(f"there is no {each}")
                for name in filter(None, names.split(", ")):
                    if not any(name in defined(place) for place in places if place.endswith(".py")):
                        found.append(f"{each} does not define {name}")
        elif re.fullmatch(r"[A-Z]\w*(\.\w+)?", span) and not _is_defined(span):
            found.append(f"nothing defines {span}")
    return found


@cache
def _is_defined(name: str) -> bool:
    """Returns whether a module, a reason, a kind or a field of the API has this name."""
    modules = [path for path in paths() if path.endswith(".py") and path.startswith(("operator/", "inference_server/"))]
    return any(name in defined(path) for path in modules) or any(
        re.search(rf"\b{re.escape(name)}\b", (ROOT / path).read_text())
        for path in ("crds/edgemodels.edgemodel.io.yaml", "crds/edgemodelrevisions.edgemodel.io.yaml")
    )


def test_everything_that_it_names_is_there() -> None:
    assert problems(TEXT) == []


def test_it_names_every_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("operator/*/__init__.py")} | {"inference_server"}
    assert [name for name in sorted(packages) if f"{name}`" not in TEXT] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("see `operator/edge_operator/gone.py`", "there is no operator/edge_operator/gone.py"),
        ("see `edge_operator/gone/`", "there is no edge_operator/gone/"),
        ("`reconcile.py: Reconciler, gone`", "reconcile.py does not define gone"),
        ("`tests/{unit,gone}`", ""),
        ("`tests/{unit,gone}/`", "there is no tests/gone/"),
        ("`make gone`", "there is no make target gone"),
        ("`Reconciler.gone`", "nothing defines Reconciler.gone"),
        (
            "## Inside `operator/edge_operator`\n\n    gone.py  does things\n",
            "there is no operator/edge_operator/gone.py",
        ),
        (
            "## Inside `operator/edge_operator`\n\n    decide/  pure\n      gone.py\n    reconcile.py\n",
            "there is no operator/edge_operator/decide/gone.py",
        ),
    ],
)
def test_a_name_that_is_not_there_is_found(text: str, problem: str) -> None:
    assert problems(text) == ([problem] if problem else [])


def test_names_that_are_there_are_taken() -> None:
    listing = "## `operator/edge_operator`\n\n    decide/\n      decision.py\n    reconcile.py\n"
    assert problems(f"{listing}\n`make check`, `Reconciler`, `reconcile.py: Reconciler.run_pass`, `Pass`") == []
