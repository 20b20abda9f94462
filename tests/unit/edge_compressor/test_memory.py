"""The memory of a compression: at most 1.6 times the size of a source, as the operator's default for the Job has it."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgemodel import job_size
from tests.support.chains import chain
from tests.support.memory import peak_anonymous_bytes

pytestmark = pytest.mark.slow

PRODUCTS = 24


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain(tmp_path_factory.mktemp("large") / "chain", PRODUCTS).parent


def command(source: Path, folder: Path, steps: list[dict[str, Any]]) -> list[str]:
    folder.mkdir()
    (folder / "steps.yaml").write_text(yaml.safe_dump(steps))
    options = [f"--source={source}", f"--steps={folder / 'steps.yaml'}", f"--output={folder / 'out'}"]
    return [sys.executable, "-m", "edge_cli.main", "compress", *options]


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"name": "weights", "type": "QuantizeWeights", "quantizeWeights": {"bits": 8}}],
        [{"name": "half", "type": "Convert", "convert": {"precision": "FP16Weights"}}],
    ],
    ids=["no steps", "QuantizeWeights", "FP16Weights"],
)
def test_a_compression_holds_little_more_than_its_source(
    source: Path, steps: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Memory is that beyond a compression of one product, since the rest is the program's."""
    size = sum(file.stat().st_size for file in source.iterdir())
    assert size > 200e6
    small = chain(tmp_path / "small", 2).parent
    grown = peak_anonymous_bytes(command(source, tmp_path / "large", steps))
    grown -= peak_anonymous_bytes(command(small, tmp_path / "little", steps))
    assert grown < job_size.memory_bytes(size)
