"""Folders of Hugging Face that become decoders: what the graph says, and which folders are refused, by what."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edge_compressor.decoders.architectures import ARCHITECTURES
from edge_compressor.formats import format_by_content
from edge_compressor.models.decoder_rows import with_rows
from edge_compressor.models.onnx_model import check_model
from edge_runtime.decoder import ROWS_INPUT, Decoder, Reader
from edge_runtime.loading import load_generator, load_model
from edge_runtime.onnx_decoder import OnnxCache
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import ONNX_RUNTIME
from edgemodel.compression_request import BY_CONTENT, HUGGING_FACE
from edgemodel.errors import Stalled
from tests.support.decoders import write_decoder
from tests.support.hugging_face import INDEX, SETTINGS, logits, random_weights, write_folder, write_weights
from tests.support.text_models import write_text_model
from tests.unit.edge_compressor.bench import Bench
from tests.unit.edge_compressor.models import Files

LLAMA = "LlamaForCausalLM"
QKV = ("q_proj", "k_proj", "v_proj")
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "Llama": {"architecture": LLAMA},
    "Llama, tied": {"architecture": LLAMA, "tie_word_embeddings": True},
    "Llama, no groups": {"architecture": LLAMA, "num_key_value_heads": 4},
    "Llama, three shards of bfloat16": {"architecture": LLAMA, "dtype": "BF16", "shards": 3},
    "Llama, float16": {"architecture": LLAMA, "dtype": "F16"},
    "Llama, biases": {
        "architecture": LLAMA, "attention_bias": True, "mlp_bias": True,
        "biases": (*QKV, "o_proj", "gate_proj", "up_proj", "down_proj"),
    },
    "Llama 3.1": {"architecture": LLAMA, "rope_scaling": LLAMA3, "rope_theta": 500.0},
    "Llama, linear": {"architecture": LLAMA, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "Llama, of transformers 5": {
        "architecture": LLAMA, "rope_theta": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 200.0},
    },
    "Mistral": {"architecture": "MistralForCausalLM", "sliding_window": None},
    "Mistral, window": {"architecture": "MistralForCausalLM", "sliding_window": 5},
    "Qwen 2": {"architecture": "Qwen2ForCausalLM", "biases": QKV, "use_sliding_window": False, "sliding_window": 5},
    "Qwen 2, window": {
        "architecture": "Qwen2ForCausalLM", "biases": QKV, "use_sliding_window": True, "sliding_window": 5,
        "max_window_layers": 1,
    },
    "Qwen 3": {"architecture": "Qwen3ForCausalLM", "head_norms": True, "head_dim": 32},
    "Qwen 3, window and biases": {
        "architecture": "Qwen3ForCausalLM", "head_norms": True, "attention_bias": True, "biases": (*QKV, "o_proj"),
        "use_sliding_window": True, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"],
    },
}  # fmt: skip


def made(folder: Path, to: Path) -> Path:
    """Returns the graph that a Job makes of ``folder``."""
    found = format_by_content(folder, BY_CONTENT, what="source")
    assert found.name == HUGGING_FACE
    found.check(folder, what="source", reason=reasons.SOURCE_INVALID)
    to.mkdir()
    assert found.to_artifact is not None
    return found.to_artifact(folder, to, what="source", reason=reasons.SOURCE_INVALID).main


def refused(folder: Path) -> str:
    with pytest.raises(Stalled) as caught:
        format_by_content(folder, BY_CONTENT, what="source").check(folder, what="source", reason=reasons.SOURCE_INVALID)
    assert caught.value.reason == reasons.SOURCE_INVALID
    return caught.value.message


def said(graph: Path, decoder: Decoder, *parts: NDArray[Any]) -> NDArray[Any]:
    """Returns the logits of a text that is read in parts."""
    loaded = load_model(graph, ONNX_RUNTIME, Tuning(intra_op_threads=1))
    reader = Reader(loaded.run, decoder)
    return np.concatenate([reader.read(part) for part in parts])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_graph_says_what_the_weights_say(tmp_path: Path, name: str) -> None:
    settings = MODELS[name]
    folder = write_folder(tmp_path / "model", **settings)
    graph = made(folder, tmp_path / "made")
    decoder = check_model(graph).decoder
    assert decoder is not None
    config = json.loads((folder / "config.json").read_text())
    weights = random_weights(config, 1, settings.get("biases", ()), head_norms=settings.get("head_norms", False))
    tokens = np.random.default_rng(5).integers(0, config["vocab_size"], 24)
    wanted = logits(config, weights, tokens)
    found = said(graph, decoder, tokens[:11], tokens[11:18], *tokens[18:, None])
    assert np.abs(found - wanted).max() < 2e-4 * np.abs(wanted).max()


def test_every_architecture_is_compared_with_its_weights() -> None:
    assert {model["architecture"] for model in MODELS.values()} == set(ARCHITECTURES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", LLAMA, shards=2)


def test_a_whole_folder_becomes_a_graph_and_its_weights_without_code(folder: Path, tmp_path: Path) -> None:
    (folder / "modeling.py").write_text("raise SystemExit")
    to = tmp_path / "made"
    found = format_by_content(folder, HUGGING_FACE, what="source")
    to.mkdir()
    assert found.to_artifact is not None
    files = found.to_artifact(folder, to, what="source", reason=reasons.SOURCE_INVALID)
    assert sorted(file.name for file in to.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} == set(files.carried)
    assert files.notes == ("left out of the artifact: modeling.py",)


def settings(**changed: Any) -> Callable[[Path], None]:
    """Returns the change of settings in ``config.json``."""

    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changed
        (folder / "config.json").write_text(json.dumps(config))

    return change


def without(folder: Path, name: str) -> None:
    """Takes a weight out of the folder, and out of its index."""
    change_weights(folder, lambda held: held.pop(name, None))


def change_weights(folder: Path, change: Callable[[dict[str, NDArray[Any]]], object]) -> None:
    """Writes the weights as one file, after ``change``."""
    config = json.loads((folder / "config.json").read_text())
    held = random_weights(config, 1, (), head_norms=False)
    change(held)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (folder / INDEX).unlink()
    write_weights(folder / "model.safetensors", held)


FIRST = "model.layers.0.self_attn.q_proj"
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other architecture": (
        settings(architectures=["GPT2LMHeadModel"]),
        "architectures is ['GPT2LMHeadModel']: want one of LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, "
        "Qwen3ForCausalLM; export others to ONNX",
    ),
    "no architecture": (settings(architectures=None), "architectures is left out: want one of"),
    "remote code": (
        settings(auto_map={"AutoModelForCausalLM": "modeling.Mine"}),
        "auto_map is {'AutoModelForCausalLM': 'modeling.Mine'}: code that comes with a model is never run",
    ),
    "quantized": (
        settings(quantization_config={"quant_method": "gptq"}),
        "quantization_config is {'quant_method': 'gptq'}: give the model as it was before it was quantized",
    ),
    "rope type": (
        settings(rope_scaling={"rope_type": "yarn", "factor": 4.0}),
        "rope_scaling.rope_type is 'yarn': the graph that is written knows default, linear and llama3",
    ),
    "rope setting": (
        settings(rope_scaling={"rope_type": "linear", "factor": 4.0, "beta_fast": 32}),
        "rope_scaling.beta_fast is 32: it is not known, and could change what the model says",
    ),
    "two rope settings": (
        settings(rope_scaling={"type": "linear", "factor": 2.0}, rope_parameters={"rope_type": "default"}),
        "rope_parameters is {'rope_type': 'default'}: rope_scaling is there too",
    ),
    "part of a head": (settings(partial_rotary_factor=0.5), "partial_rotary_factor is 0.5: the graph"),
    "interleaved": (settings(rope_interleaved=True), "rope_interleaved is True: the graph that is written knows False"),
    "activation": (settings(hidden_act="gelu"), "hidden_act is 'gelu': the graph that is written knows 'silu'"),
    "soft cap": (settings(final_logit_softcapping=30.0), "final_logit_softcapping is 30.0: it is not known"),
    "window": (settings(sliding_window=64), "sliding_window is 64: it is not known, and could change"),
    "scaled": (settings(logit_scale=0.06), "logit_scale is 0.06: it is not known, and could change what the model"),
    "cross attention": (settings(add_cross_attention=True), "add_cross_attention is True: the graph"),
    "true in place of 1": (settings(num_hidden_layers=True), "num_hidden_layers is True: want a whole number from 1"),
    "groups": (settings(num_key_value_heads=3), "num_key_value_heads is 3: want a divisor of num_attention_heads, 4"),
    "no size": (settings(intermediate_size=None), "intermediate_size is left out: want a whole number from 1"),
    "heads that no kernel has": (
        settings(head_dim=24),
        "head_dim is 24: a head has 24 values, and ONNX Runtime rotates multiples of 16",
    ),
    "too many positions": (settings(max_position_embeddings=10**9), "max_position_embeddings is 1000000000: want at"),
    "other size": (
        settings(head_dim=32),
        "the weight 'model.layers.0.self_attn.q_proj.weight' has shape [64, 40], and config.json says [128, 40]",
    ),
    "bias that no weight has": (
        settings(attention_bias=True),
        "the weight 'model.layers.0.self_attn.k_proj.bias' is missing, and 7 others: config.json says that the model",
    ),
    "tied, and another head": (
        settings(tie_word_embeddings=True),
        "lm_head.weight differs from model.embed_tokens.weight, and config.json says that they are one",
    ),
    "head missing": (lambda at: without(at, "lm_head.weight"), "the weight 'lm_head.weight' is missing: config.json"),
    "more layers": (
        settings(num_hidden_layers=1),
        "the weight 'model.layers.1.input_layernorm.weight' has no place in the model: nothing in config.json says",
    ),
    "bias that no setting names": (
        lambda at: change_weights(at, lambda held: held.update({f"{FIRST}.bias": np.ones(64, np.float32)})),
        f"the weight '{FIRST}.bias' has no place in the model",
    ),
    "whole numbers": (
        lambda at: change_weights(at, lambda held: held.update({f"{FIRST}.weight": np.ones((64, 40), np.uint8)})),
        f"the weight '{FIRST}.weight' is of type U8, want F32, F16, BF16: give the model as it was before",
    ),
    "shard missing": (
        lambda at: (at / "model-00002-of-00002.safetensors").unlink(),
        f"{INDEX} names model-00002-of-00002.safetensors, which is not in the folder",
    ),
    "no tokenizer": (lambda at: (at / "tokenizer.json").unlink(), "tokenizer.json is missing: save the tokenizer"),
    "tokenizer of another model": (
        settings(vocab_size=len(SETTINGS) + 1000),
        "tokenizer.json names tokens up to 286, and the model (config.json) has",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_would_make_another_model_is_refused_by_its_name(folder: Path, case: str) -> None:
    spoil, message = CASES[case]
    spoil(folder)
    assert re.match(r"source: .*" + re.escape(message), refused(folder)), refused(folder)


def test_what_changes_nothing_is_passed_over(folder: Path) -> None:
    change = settings(
        transformers_version="4.57.1", pretraining_tp=1, attention_dropout=0.0, rope_scaling=None, temperature=0.6,
        quantization_config=None, is_llama_config=True, rope_interleaved=False, pruned_heads={},
    )  # fmt: skip
    change(folder)
    format_by_content(folder, BY_CONTENT, what="source").check(folder, what="source", reason=reasons.SOURCE_INVALID)


def test_a_tied_head_may_be_stored_too_and_angles_of_old_versions(folder: Path) -> None:
    settings(tie_word_embeddings=True)(folder)

    def change(held: dict[str, NDArray[Any]]) -> None:
        held["lm_head.weight"] = held["model.embed_tokens.weight"]
        held["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)

    change_weights(folder, change)
    format_by_content(folder, BY_CONTENT, what="source").check(folder, what="source", reason=reasons.SOURCE_INVALID)


def test_weights_that_are_pickles_are_refused(folder: Path) -> None:
    for file in (*folder.glob("*.safetensors"), folder / INDEX):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    message = refused(folder)
    assert "whose weights are pickles (.bin, .pth): they can run any code when they are loaded" in message


def test_a_folder_that_is_a_graph_and_weights_has_to_be_named(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")
    assert "the folder is ONNX and HuggingFace: name one of them as its format" in refused(folder)
    assert format_by_content(folder, HUGGING_FACE, what="source").name == HUGGING_FACE


def rows_of(graph: Path) -> list[str]:
    """Returns the inputs of a graph that have a default."""
    model = onnx.load(graph, load_external_data=False)
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name in stored]


def test_a_decoder_that_comes_as_onnx_gets_the_choice_of_rows(tmp_path: Path) -> None:
    source = write_decoder(tmp_path / "decoder")
    found = format_by_content(source, BY_CONTENT, what="source")
    assert found.to_artifact is not None
    files = found.to_artifact(source, tmp_path, what="source", reason=reasons.SOURCE_INVALID)
    assert rows_of(files.main) == [ROWS_INPUT]
    assert with_rows(files.main) == files.main
    assert files.main.name not in files.carried
    assert files.notes == (f"the decoder got the optional input {ROWS_INPUT}, for prompts that need one row of logits",)


def test_a_decoder_whose_head_is_not_known_stays_as_it_is(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "model", "abc")
    assert with_rows(folder / "model.onnx") == folder / "model.onnx"


@pytest.mark.slow
@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_a_decoder_computes_the_rows_that_are_asked_for(
    tmp_path: Path, bench: Bench, quantized: bool, tied: bool
) -> None:
    graph = made(write_folder(tmp_path / "model", LLAMA, tie_word_embeddings=tied, hidden_size=64), tmp_path / "made")
    if quantized:
        graph = bench.apply("QuantizeWeights", Files(graph, tmp_path / "none", tmp_path / "none"))
    decoder = check_model(graph).decoder
    assert decoder is not None
    tokens = np.arange(40, 52)
    every = said(graph, decoder, tokens)
    assert len(every) == len(tokens)
    loaded = load_model(graph, ONNX_RUNTIME, Tuning(intra_op_threads=1))
    feed = decoder.feed(tokens[None], decoder.cache(0))
    for asked, rows in ((1, 1), (3, 3), (0, 12), (100, 12)):
        (found,) = loaded.run({**feed, ROWS_INPUT: np.array(asked)}, ["logits"])
        assert found.shape[1] == rows
        np.testing.assert_allclose(found[0], every[-rows:], rtol=1e-4, atol=1e-4)
    generator = load_generator(graph, ONNX_RUNTIME, Tuning(intra_op_threads=1))
    cache = generator.new_cache(16)
    np.testing.assert_allclose(generator.feed(cache, tokens), every[-1], rtol=1e-4, atol=1e-4)
    assert isinstance(cache, OnnxCache)
    assert [1, 1, decoder.vocabulary] in [list(value.shape()) for value in cache.binding.get_outputs()]
