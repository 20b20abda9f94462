"""Nothing that our programs read is unpickled: a pickle runs any code of whoever wrote it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
PROGRAMS: Final = ("operator", "inference_server", "charts", "examples", "crds")
UNPICKLING_MODULES: Final = frozenset(
    {"_pickle", "cloudpickle", "dill", "joblib", "marshal", "multiprocessing", "pickle", "shelve"}
)
"""The modules that unpickle what they read; multiprocessing does so in pipes, queues and pools."""
UNPICKLING_CALLS: Final = frozenset(
    {"ProcessPoolExecutor", "full_load", "read_pickle", "unsafe_load", "unsafe_load_all"}
)
"""The functions and classes of other modules that unpickle, or make any object of what they read."""
ALLOWED: Final = {
    "operator/edge_compressor/training/program.py": "torch.export.load",  # archive.py has refused pickles before
    "charts/images/probes/trainer.py": "torch.export.load",  # it reads the file that it wrote
}
"""The files that call a function which could unpickle."""


def sources() -> Iterator[Path]:
    for program in PROGRAMS:
        yield from (ROOT / program).rglob("*.py")


def unpickling(text: str, *, checked: str = "") -> list[str]:
    """Returns where a program could unpickle something, as ``line: source``. Calls of ``checked`` are allowed."""
    lines = text.splitlines()
    found = {node.lineno for node in ast.walk(ast.parse(text)) if _imports(node) or _calls(node, checked)}  # type: ignore[attr-defined]
    return [f"{number}: {lines[number - 1].strip()}" for number in sorted(found)]


def _imports(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [node.module or "", *(alias.name for alias in node.names)]
    else:
        return False
    return any(name.partition(".")[0] in UNPICKLING_MODULES for name in names)


def _calls(node: ast.AST, checked: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name, given = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
    if name == checked:
        return False
    if name.rpartition(".")[2] in UNPICKLING_CALLS or name == "torch.export.load":
        return True
    if name == "torch.load":
        return not _is(given.get("weights_only"), True)
    if name == "yaml.load":
        return "Safe" not in "".join(ast.unparse(one) for one in (*node.args[1:], *given.values()))
    return "allow_pickle" in given and not _is(given["allow_pickle"], False)


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_no_program_unpickles() -> None:
    files = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sources()}
    assert len(files) > 300
    found = {name: unpickling(text, checked=ALLOWED.get(name, "")) for name, text in files.items()}
    assert {name: where for name, where in found.items() if where} == {}
    assert all(unpickling(files[name]) for name in ALLOWED), "an exception that nothing needs"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import multiprocessing.connection",
        "from multiprocessing import Queue",
        "from torch import multiprocessing",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.export.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "np.lib.format.read_array(file, allow_pickle=trusted)",
        "concurrent.futures.ProcessPoolExecutor()",
        "pandas.read_pickle(path)",
        "yaml.load(text, yaml.Loader)",
        "yaml.unsafe_load(text)",
    ],
)
def test_each_way_to_unpickle_is_found(text: str) -> None:
    assert unpickling(text)


@pytest.mark.parametrize(
    "text",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "yaml.load(text, Loader=yaml.CSafeLoader)",
        "json.loads(text)",
    ],
)
def test_what_reads_plain_data_is_allowed(text: str) -> None:
    assert not unpickling(text)
