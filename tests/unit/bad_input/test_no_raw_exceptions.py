"""No message is made directly from an exception of a library: each goes through ``edgemodel.error_words``."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
PROGRAMS: Final = ("operator", "inference_server")
OURS: Final = (
    "edgemodel",
    "edge_cli",
    "edge_compressor",
    "edge_oci",
    "edge_operator",
    "edge_runtime",
    "edge_statistics",
    "inference_server",
)
HOME: Final = "operator/edgemodel/error_words.py"
NOT_FOR_USERS: Final[Mapping[str, str]] = {
    "operator/edge_oci/blobs.py": "looks for a code of the registry in an error of edge_oci",
    "operator/edge_compressor/library_errors.py": "looks for torch's words for too little memory",
    "operator/edge_compressor/datasets/npz.py": "looks for numpy's words for pickled objects",
    "operator/edge_compressor/models/checker.py": "looks for onnx's words for an operator that it does not know",
    "operator/edge_compressor/steps/quantize_static.py": "looks for onnxruntime's words for a histogram of nothing",
}
"""Files whose comparisons with an exception's text (``"..." in str(error)``) are allowed, each with its reason."""


def sources() -> Iterator[Path]:
    for program in PROGRAMS:
        yield from (ROOT / program).rglob("*.py")


def raw_uses(text: str, *, may_look: bool) -> list[str]:
    """Returns where a caught exception of a library becomes text directly: ``line: source``."""
    tree = ast.parse(text)
    own = _own_names(tree)
    found = []
    for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name):
        if _names(handler.type) <= own:
            continue
        for node in (inner for statement in handler.body for inner in ast.walk(statement)):
            if _makes_text(node, str(handler.name)) and not (may_look and _is_looked_for(node, handler)):
                line = text.splitlines()[node.lineno - 1].strip()
                found.append(f"{node.lineno}: {line}")
    return sorted(set(found))


def _own_names(tree: ast.Module) -> set[str]:
    """Returns the names of classes that are declared here or imported from our packages."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] in OURS):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _names(kind: ast.expr | None) -> set[str]:
    """Returns the names of the caught classes; ``module.Class`` by its module."""
    items = kind.elts if isinstance(kind, ast.Tuple) else [kind] if kind is not None else []
    return {ast.unparse(item).partition(".")[0] for item in items} or {"BaseException"}


def _makes_text(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.FormattedValue):
        return _is(node.value, name)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "repr", "format"):
        return any(_is(argument, name) for argument in node.args)
    return False


def _is(node: ast.expr, name: str) -> bool:
    """Returns whether it is the exception, one of its texts, or the name of its class."""
    text = ast.unparse(node)
    return text in (
        name,
        f"{name}.strerror",
        f"{name}.args",
        f"{name}.args[0]",
        f"type({name}).__name__",
        f"{name}.msg",
    )


def _is_looked_for(node: ast.AST, handler: ast.ExceptHandler) -> bool:
    """Returns whether the text is only compared with another."""
    compared = (inner for inner in ast.walk(handler) if isinstance(inner, ast.Compare))
    return any(node in one.comparators or node is one.left for one in compared)


def test_no_message_holds_an_exception_of_a_library_as_it_is() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in sources()}
    found = {name: raw_uses(text, may_look=name in NOT_FOR_USERS) for name, text in texts.items() if name != HOME}
    assert {name: uses for name, uses in found.items() if uses} == {}


JSON_HOMES: Final = {
    "operator/edgemodel/json_text.py": "the home",
    "operator/edge_compressor/models/safetensors.py": "refuses a name that stands twice",
    "operator/edge_cli/manifest/edge_model.py": "reads the schema that is a file of this package",
}


def test_json_from_outside_is_read_in_one_place() -> None:
    """The other readers would have to know that ``json`` raises RecursionError and UnicodeDecodeError as well."""
    found = {str(path.relative_to(ROOT)) for path in sources() if re.search(r"\bjson\.loads?\(", path.read_text())}
    assert found == JSON_HOMES.keys()


def test_the_check_finds_what_it_is_for() -> None:
    text = "try:\n    f()\nexcept ValueError as error:\n    raise Own(f'it fails: {error}')\n"
    assert raw_uses(text, may_look=False) == ["4: raise Own(f'it fails: {error}')"]
    assert raw_uses(text.replace("{error}", "{in_words(error)}"), may_look=False) == []
    own = "from edgemodel.errors import Stalled\n" + text.replace("ValueError", "Stalled")
    assert raw_uses(own, may_look=False) == []
    looks = "try:\n    f()\nexcept OSError as error:\n    if 'x' in str(error):\n        raise\n"
    assert raw_uses(looks, may_look=False)
    assert raw_uses(looks, may_look=True) == []
