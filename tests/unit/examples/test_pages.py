"""The pages of the examples: what needs no cluster runs as a reader runs it."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.lab.ports import free_port
from tests.support.pages import ROOT, Block, Terminal, blocks_of

pytestmark = pytest.mark.slow

FASHION_MNIST, MAGIKA, SMOLLM2 = (f"examples/{name}/README.md" for name in ("fashion-mnist", "magika", "smollm2"))
SECONDS = 900
"""The time that a block may take."""


@contextmanager
def terminal(folder: Path, start: Path) -> Iterator[Terminal]:
    """Yields a terminal in ``start`` in which the commands of this checkout are installed; its /tmp is ``folder``."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", "START": str(start)}
    port = free_port()
    stands_for = {r"/tmp/": f"{folder}/", r":8080": f":{port}", r"edgemodel serve": f"edgemodel serve --port {port}"}
    with Terminal(folder, environment, stands_for) as opened:
        opened.run(Block("start", 1, "", "sh", "cd $START\n", "", ""))
        yield opened


def run(page: str, opened: Terminal) -> list[str]:
    """Runs the blocks of a page that can run, and returns what each printed."""
    return [opened.run(block, SECONDS) for block in blocks_of(page) if block.language == "sh" and not block.not_run]


def test_fashion_mnist_is_compressed_and_made_of_weights_as_its_page_says(tmp_path: Path) -> None:
    start = shutil.copytree(ROOT / "examples" / "fashion-mnist", tmp_path / "checkout")
    with terminal(tmp_path, start) as opened:
        compressed, made = run(FASHION_MNIST, opened)
    for printed, output in ((compressed, "fashion-mnist"), (made, "from-weights")):
        assert "| Pass | maxAccuracyDropPercent |" in printed
        assert (tmp_path / output / "model.onnx").exists()


def test_magika_is_fetched_and_compressed_as_its_page_says(tmp_path: Path) -> None:
    with terminal(tmp_path, ROOT) as opened:
        fetched, compressed = run(MAGIKA, opened)
    assert "sha256:" in fetched
    assert "| Pass | maxAccuracyDropPercent |" in compressed


def test_smollm2_is_fetched_compressed_and_asked_as_its_page_says(tmp_path: Path) -> None:
    with terminal(tmp_path, ROOT) as opened:
        fetched, answered = run(SMOLLM2, opened)
    assert "build/examples/smollm2/model" in fetched
    assert "| Pass | maxPerplexityIncreasePercent |" in answered
    assert "| Pass | minAgreementPercent |" in answered
