"""The names in CONTRIBUTING.md exist, and its table has a row for everything that can be added by one file."""

import re
from collections.abc import Iterator

import pytest

from tests.unit.test_architecture import ROOT, problems

TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def rows() -> dict[str, list[str]]:
    """Returns the table by its first column: what to write, the interface, and the example."""
    table = TEXT.partition("## To add …")[2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "]
    return {first: rest for first, *rest in cells if first != "…"}


def test_everything_that_it_names_is_there() -> None:
    assert problems(TEXT) == []


@pytest.mark.parametrize(
    "kind",
    ["step", "check", "runtime", "source format", "transform", "listener", "server layer", "evaluation task", "cell",
     "reason", "verb"],
)  # fmt: skip
def test_a_row_names_the_interface_and_a_test(kind: str) -> None:
    (row,) = (cells for first, cells in rows().items() if re.search(rf"\b{kind}\b", first))
    _, interface, example = row
    assert re.search(r"`[\w/]+\.py: \w+", interface)
    assert re.search(r"`tests/[\w/]+\.py`", example)


def shown_diff() -> Iterator[tuple[str, bool, list[str]]]:
    """Yields (path, whether the file is new, added lines) of each file of the diff in the text."""
    (diff,) = re.findall(r"^```diff\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    for before, path, body in re.findall(r"^--- (\S+)\n\+\+\+ b/(\S+)\n((?:(?!--- ).*\n)*)", diff, re.MULTILINE):
        yield path, before == "/dev/null", [line[1:] for line in body.splitlines() if line[:1] == "+"]


def test_the_diff_that_it_shows_is_in_the_tree() -> None:
    files = list(shown_diff())
    assert len(files) == 3
    for path, is_new, added in files:
        lines = (ROOT / path).read_text().splitlines()
        assert added
        assert lines == added if is_new else set(added) <= set(lines), path
