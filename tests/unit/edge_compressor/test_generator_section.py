"""The section of the manifest from which the memory of a server that generates text follows."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_compressor.models.generator import CONFIGS, describe_generator
from edge_compressor.models.onnx_model import check_model
from edge_runtime.loading import load_generator
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ONNX_RUNTIME
from edgemodel.generation import GeneratorFacts, facts_of
from tests.support.decoders import END, END_TURN, TINY, vocabulary, write_decoder
from tests.unit.edge_compressor import models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_decoder(tmp_path / "decoder", external=False)


def described(folder: Path) -> dict[str, Any]:
    files = {name: folder / name for name in CONFIGS if (folder / name).exists()}
    return describe_generator(check_model(folder / "model.onnx"), files)


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    value = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not None}))


def test_a_decoder_says_how_long_texts_may_be_and_what_a_token_of_its_cache_takes(folder: Path) -> None:
    tokens = vocabulary()
    assert described(folder)["generator"] == {
        "contextTokens": TINY.context_tokens,
        "cacheBytesPerToken": 2 * TINY.layers * TINY.key_value_heads * TINY.head_size * 4,
        "layers": TINY.layers,
        "stopTokenIds": sorted((tokens[END], tokens[END_TURN])),
        "vocabulary": TINY.vocabulary,
    }
    assert facts_of(described(folder)) == GeneratorFacts(256, 512)


def test_the_server_reserves_as_much_for_a_token(folder: Path) -> None:
    generator = load_generator(folder / "model.onnx", ONNX_RUNTIME, Tuning())
    assert generator.cache_bytes_per_token == described(folder)["generator"]["cacheBytesPerToken"]
    generator.close()


def test_what_ends_a_text_is_found_in_both_files(folder: Path) -> None:
    configure(folder, eos_token_id=3)
    (folder / "generation_config.json").write_text('{"eos_token_id": [5, 3]}')
    assert described(folder)["generator"]["stopTokenIds"] == [3, 5]


@pytest.mark.parametrize("length", [None, 0, "2048", -1])
def test_without_a_usable_length_there_is_no_section(folder: Path, length: Any) -> None:
    configure(folder, max_position_embeddings=length)
    assert described(folder) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_configuration_that_is_no_object_ends_no_compression(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert described(folder) == {}


def test_another_model_has_no_section(tmp_path: Path, folder: Path) -> None:
    path = models.perceptron(tmp_path / "other.onnx")
    assert describe_generator(check_model(path), {"config.json": folder / "config.json"}) == {}
    assert facts_of({}) is None
