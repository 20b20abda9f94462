"""The blocks of the pages that are read on the lab: none is left out by chance, and one that fails says where."""

import os
from pathlib import Path

import pytest

from tests.support.pages import Block, PageFailure, Terminal, blocks_of, missing
from tests.unit.docs.test_pages import PAGES, ROOT, name

READ = (
    "docs/getting-started.md",
    "docs/operations/install.md",
    "docs/operations/upgrade.md",
    "docs/troubleshooting.md",
    *(f"docs/tutorials/{path.name}" for path in sorted((ROOT / "docs" / "tutorials").glob("*.md"))),
)
"""The pages with commands on a cluster, which ``tests/e2e`` reads; what needs no cluster is in ``test_commands``."""
LEFT_OUT = {
    "docs/getting-started.md": ["build.py"],
    "docs/operations/install.md": ["build.py"],
    "docs/operations/upgrade.md": ["kubectl delete"],
    "docs/tutorials/own-converter.md": ["podman"],
    "docs/tutorials/train-and-distill.md": ["./train.py", "edgemodel compress"],
}
"""A word of each block that no test runs, by page."""


@pytest.mark.parametrize("page", READ)
def test_each_block_is_run_saved_or_says_why_not(page: str) -> None:
    blocks = blocks_of(page)
    assert blocks
    left_out = [block for block in blocks if block.not_run]
    words = LEFT_OUT.get(page, [])
    assert len(left_out) == len(words)
    for block, word in zip(left_out, words, strict=True):
        assert word in block.text
    for block in blocks:
        assert block.language == "sh" or block.file, f"{block} is neither a command nor a file with a name"


RUN_BY = {
    "README.md": "tests/e2e/test_tutorials.py",
    "charts/edgemodel/README.md": "tests/e2e/test_tutorials.py",
    "docs/releasing.md": "tests/unit/chart/test_release.py",
    "examples/fashion-mnist/README.md": "tests/unit/examples/test_pages.py",
    "examples/magika/README.md": "tests/unit/examples/test_pages.py",
    "examples/smollm2/README.md": "tests/unit/examples/test_pages.py",
}
"""The tests of the other pages with commands."""


def test_each_block_with_commands_is_run_by_a_test_or_says_why_not() -> None:
    for page in map(name, PAGES):
        blocks = blocks_of(page)
        unknown = {block.language for block in blocks} - {"sh", "yaml", "python", "diff", "text"}
        assert not unknown, f"{page}: want commands as sh"
        if page not in READ and any(block.language == "sh" and not block.not_run for block in blocks):
            assert page in RUN_BY, f"{page}: no test runs its blocks"
            assert Path(page).name in (ROOT / RUN_BY[page]).read_text()


def test_each_page_is_read_by_an_end_to_end_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "e2e").glob("test_*.py"))
    run = [page for page in READ if any(not block.not_run for block in blocks_of(page))]
    assert [page for page in run if f'"{page}"' not in tests] == []


@pytest.mark.parametrize(
    ("shows", "output", "lacks"),
    [
        ("a  b", "first\n a b\n", ""),
        ("a …\n… c", "a x y\nsomething\nb c", ""),
        ("… c\na …", "a x\nb c", "a …"),
        ("a.c", "abc", "a.c"),
        ("", "anything", ""),
    ],
)
def test_promised_lines_are_found_in_their_order(shows: str, output: str, lacks: str) -> None:
    assert missing(shows, output) == lacks


def block(text: str, shows: str = "") -> Block:
    return Block("docs/some.md", 7, "Some", "sh", text, shows, "")


def test_a_terminal_keeps_folder_and_variables_and_puts_what_stands_for_what(tmp_path: Path) -> None:
    with Terminal(tmp_path, os.environ, {"vision": "here"}) as terminal:
        terminal.run(block("mkdir vision\ncd vision\nNAME=vision\n"))
        assert terminal.where == tmp_path / "here"
        assert terminal.run(block("echo $NAME", "vision")).split() == ["here"]


@pytest.mark.parametrize(
    ("text", "shows", "seconds", "where"),
    [
        ("true\nfalse\n", "", 30, "docs/some.md:8 ended with 1: false"),
        ("echo $UNKNOWN\n", "", 30, "line 7: UNKNOWN: unbound variable"),
        ("echo one\n", "two", 30, "docs/some.md:7 should print 'two'"),
        ("tail -f /dev/null\n", "", 0.5, "took over 0.5 s"),
    ],
)
def test_a_block_that_fails_says_where(text: str, shows: str, seconds: float, where: str, tmp_path: Path) -> None:
    with Terminal(tmp_path, os.environ) as terminal, pytest.raises(PageFailure) as failure:
        terminal.run(block(text, shows), seconds)
    assert where in str(failure.value)
