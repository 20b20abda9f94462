"""A decoder in a GGUF file as weights of full precision: ``python language_source.py GGUF FOLDER``.

Weights in such a file lie on a grid, in blocks of 32, so that quantizing them again with the same blocks loses nothing.
Therefore the channels of hidden state, feed-forward layers and values are permuted, which changes no answer. FOLDER
gets them as permuted.gguf, and as weights.npz beside tokenizer.json, config.json and chat_template.jinja.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize

Weights = dict[str, Any]
NAMES = {
    "attn_output": "attn.o_proj.MatMul.weight",
    "ffn_gate": "mlp.gate_proj.MatMul.weight",
    "ffn_up": "mlp.up_proj.MatMul.weight",
    "ffn_down": "mlp.down_proj.MatMul.weight",
    "attn_norm": "input_layernorm.weight",
    "ffn_norm": "post_attention_layernorm.weight",
}
SPECIAL = 3
"""The kind of a token that no text holds."""


def main(source: Path, out: Path) -> None:
    """Writes the files."""
    reader = GGUFReader(source)
    about = {name: field.contents() for name, field in reader.fields.items()}
    weights = {
        tensor.name: np.array(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(
            tuple(int(size) for size in reversed(tensor.shape))
        )
        for tensor in reader.tensors
    }
    permute(weights, about)
    write_gguf(reader, weights, out / "permuted.gguf")
    np.savez(out / "weights.npz", **named(weights, about))
    write_tokenizer(about, out)
    (out / "config.json").write_text(json.dumps(configuration(about), indent=1))


def permute(weights: Weights, about: dict[str, Any], seed: int = 7) -> None:
    """Permutes the channels, in place."""
    random = np.random.default_rng(seed)
    heads, kv_heads = about["llama.attention.head_count"], about["llama.attention.head_count_kv"]
    hidden = random.permutation(about["llama.embedding_length"])
    size = len(hidden) // heads
    for name, weight in list(weights.items()):
        kind = name.split(".")[-2]
        if kind in ("token_embd", "attn_norm", "ffn_norm", "output_norm"):
            weights[name] = weight[..., hidden]
        elif kind in ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"):
            weights[name] = weight[:, hidden]
        elif kind in ("attn_output", "ffn_down"):
            weights[name] = weight[hidden]
        else:
            raise SystemExit(f"nobody knows how to permute {name}")
    for block in range(about["llama.block_count"]):
        inner = random.permutation(about["llama.feed_forward_length"])
        for kind in ("gate", "up"):
            weights[f"blk.{block}.ffn_{kind}.weight"] = weights[f"blk.{block}.ffn_{kind}.weight"][inner]
        weights[f"blk.{block}.ffn_down.weight"] = weights[f"blk.{block}.ffn_down.weight"][:, inner]
        values, mixed = weights[f"blk.{block}.attn_v.weight"], weights[f"blk.{block}.attn_output.weight"]
        for kv in range(kv_heads):
            order = random.permutation(size)
            values[kv * size : (kv + 1) * size] = values[kv * size : (kv + 1) * size][order]
            for query in range(heads // kv_heads):
                start = (kv * (heads // kv_heads) + query) * size
                mixed[:, start : start + size] = mixed[:, start : start + size][:, order]


def named(weights: Weights, about: dict[str, Any]) -> Weights:
    """Returns the weights by the names of a graph; matrices are (inputs, outputs)."""

    def rotated(weight: Any, count: int) -> Any:  # llama.cpp keeps the pairs of a rotation side by side
        return weight.reshape(count, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)

    heads, kv_heads = about["llama.attention.head_count"], about["llama.attention.head_count_kv"]
    made = {
        "model.embed_tokens.weight": weights["token_embd.weight"],
        "model.norm.weight": weights["output_norm.weight"],
    }
    for block in range(about["llama.block_count"]):
        old, new = f"blk.{block}.", f"model.layers.{block}."
        query = rotated(weights[old + "attn_q.weight"], heads)
        key = rotated(weights[old + "attn_k.weight"], kv_heads)
        packed = np.concatenate([query, key, weights[old + "attn_v.weight"]])
        made[new + "attn.qkv_proj.MatMul.weight"] = packed.T
        made |= {new + name: weights[f"{old}{kind}.weight"].T for kind, name in NAMES.items()}
    return {name: np.ascontiguousarray(weight) for name, weight in made.items()}


def write_gguf(reader: Any, weights: Weights, path: Path) -> None:
    """Writes the weights as float32, with what ``reader`` says of them."""
    writer = GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in (
            "general.architecture", "general.file_type", "general.quantization_version"
        ):  # fmt: skip
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, inner)
    writer.add_file_type(0)
    for name, values in weights.items():
        writer.add_tensor(name, np.ascontiguousarray(values), raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def configuration(about: dict[str, Any]) -> dict[str, Any]:
    """Returns the configuration as Hugging Face has it."""
    heads, hidden = about["llama.attention.head_count"], about["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(about["tokenizer.ggml.tokens"]),
        "hidden_size": hidden,
        "intermediate_size": about["llama.feed_forward_length"],
        "num_hidden_layers": about["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": about["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "max_position_embeddings": about["llama.context_length"],
        "rms_norm_eps": round(float(about["llama.attention.layer_norm_rms_epsilon"]), 8),
        "rope_theta": float(about["llama.rope.freq_base"]),
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": int(about["tokenizer.ggml.bos_token_id"]),
        "eos_token_id": int(about["tokenizer.ggml.eos_token_id"]),
        "torch_dtype": "float32",
    }


def write_tokenizer(about: dict[str, Any], out: Path) -> None:
    """Writes the tokenizer and the chat template."""
    tokens, kinds = about["tokenizer.ggml.tokens"], about["tokenizer.ggml.token_type"]
    added = [
        {
            "id": number, "content": tokens[number], "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for number, kind in enumerate(kinds)
        if kind == SPECIAL
    ]  # fmt: skip
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": tokens[0],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in about["tokenizer.ggml.merges"]],
        },
    }
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    bos, eos = (tokens[about[f"tokenizer.ggml.{which}_token_id"]] for which in ("bos", "eos"))
    config = {"tokenizer_class": "GPT2Tokenizer", "bos_token": bos, "eos_token": eos}
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (out / "chat_template.jinja").write_text(about["tokenizer.chat_template"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
