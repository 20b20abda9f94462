"""Folders of Hugging Face that are not whole: each is refused by the file or the weight that is missing or foreign."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_compressor.models.hugging_face import INDEX_FILE, weight_files
from edgemodel import reasons
from edgemodel.errors import Stalled
from tests.support import weights

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with two shards, two weights in each."""
    folder = tmp_path / "model"
    folder.mkdir()
    named = {}
    for number, shard in enumerate(SHARDS):
        held = {f"layers.{number}.{name}": np.ones((4, 8), np.float32) for name in ("up", "down")}
        weights.write(folder / shard, **held)
        named |= dict.fromkeys(held, shard)
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": named}))
    (folder / "config.json").write_text(json.dumps({"vocab_size": 8, "model_type": "llama"}))
    vocabulary = {f"word{number}": number for number in range(8)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return folder


def edit_index(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    index = json.loads((folder / INDEX_FILE).read_text())
    change(index["weight_map"])
    (folder / INDEX_FILE).write_text(json.dumps(index))


def test_whole_folders_are_whole(folder: Path, tmp_path: Path) -> None:
    assert weight_files(folder, what="source") == SHARDS
    (folder / SHARDS[1]).unlink()
    (folder / INDEX_FILE).unlink()
    (folder / SHARDS[0]).rename(folder / "model.safetensors")
    assert weight_files(folder, what="source") == ("model.safetensors",)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "shard missing": (
        lambda at: (at / SHARDS[1]).unlink(),
        f"{INDEX_FILE} names {SHARDS[1]}, which is not in the folder: give all files of the model",
    ),
    "shard cut short": (
        lambda at: os.truncate(at / SHARDS[0], (at / SHARDS[0]).stat().st_size - 100),
        f"source: {SHARDS[0]}: its weights take 256 bytes, and the file has 156 for them",
    ),
    "weight that is not there": (
        lambda at: edit_index(at, lambda named: named.update({"lm_head": SHARDS[0]})),
        f"says that 'lm_head' is in {SHARDS[0]}, and it is not",
    ),
    "weight that no index names": (
        lambda at: edit_index(at, lambda named: named.pop("layers.0.up")),
        f"{SHARDS[0]} holds 'layers.0.up', which {INDEX_FILE} does not name there",
    ),
    "index that leaves the folder": (
        lambda at: edit_index(at, lambda named: named.update({"a": "../x.safetensors"})),
        "names '../x.safetensors', want a .safetensors file beside it",
    ),
    "no index": (lambda at: (at / INDEX_FILE).unlink(), f"{INDEX_FILE} is missing, which says what is in {SHARDS[0]}"),
    "no map": (lambda at: (at / INDEX_FILE).write_text("{}"), "has no weight_map of texts"),
    "tokenizer of another model": (
        lambda at: (at / "config.json").write_text('{"vocab_size": 7}'),
        "names tokens up to 7, and the model (config.json) has 7 rows",
    ),
    "only the index": (
        lambda at: [(at / shard).unlink() for shard in SHARDS],
        f"{INDEX_FILE} names {SHARDS[0]}, which is not in the folder",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_file_or_weight_that_is_wrong_is_named(folder: Path, case: str) -> None:
    spoil, message = CASES[case]
    spoil(folder)
    with pytest.raises(Stalled, match=re.escape(message)) as caught:
        weight_files(folder, what="source")
    assert caught.value.reason == reasons.SOURCE_INVALID
