"""Tiny folders of Hugging Face with random weights, and what their models say, computed in numpy without a graph.

The computation follows the modelling code of transformers, in float64, text by text: no cache, no fused operator.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.support import weights as safetensors
from tests.support.decoders import vocabulary, write_tokenizer

Array = NDArray[Any]

SETTINGS: Final[Mapping[str, Any]] = {
    "hidden_size": 40,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": len(vocabulary()),
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "use_cache": True,
}
INDEX: Final = "model.safetensors.index.json"


def write_folder(
    folder: Path,
    architecture: str,
    *,
    dtype: str = "F32",
    shards: int = 1,
    seed: int = 1,
    biases: tuple[str, ...] = (),
    head_norms: bool = False,
    **settings: Any,
) -> Path:
    """Writes a folder of the class ``architecture``, with SETTINGS and ``settings``, and returns it.

    ``dtype`` is F32, F16 or BF16. ``biases`` are the names of products that have one, such as ``q_proj``; with
    ``head_norms``, queries and keys have a norm.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": [architecture], **SETTINGS, **settings}
    made = random_weights(config, seed, biases, head_norms=head_norms)
    names = sorted(made)
    files: dict[str, str] = {}
    for number in range(shards):
        name = "model.safetensors" if shards == 1 else f"model-{number + 1:05}-of-{shards:05}.safetensors"
        held = names[number::shards]
        write_weights(folder / name, {one: made[one] for one in held}, dtype)
        files |= dict.fromkeys(held, name)
    if shards > 1:
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder)
    return folder


def random_weights(
    config: Mapping[str, Any], seed: int, biases: tuple[str, ...], *, head_norms: bool
) -> dict[str, Array]:
    """Returns random weights, float32, by the names of transformers; values are those of bfloat16, so that every type
    of file holds the same."""
    random = np.random.default_rng(seed)
    hidden, inner, size = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    products = {
        "self_attn.q_proj": (queries, hidden), "self_attn.k_proj": (keys, hidden), "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }  # fmt: skip

    def values(*shape: int, gain: float = 1.0, middle: float = 0.0) -> Array:
        drawn = (random.standard_normal(shape) * gain + middle).astype(np.float32)
        return (drawn.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    made = {"model.embed_tokens.weight": values(config["vocab_size"], hidden), "model.norm.weight": values(hidden)}
    if not config["tie_word_embeddings"]:
        made["lm_head.weight"] = values(config["vocab_size"], hidden)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            made[f"{layer}.{norm}.weight"] = values(hidden, gain=0.2, middle=1)
        for name, shape in products.items():
            made[f"{layer}.{name}.weight"] = values(*shape, gain=1.5 * shape[1] ** -0.5)
            if name.partition(".")[2] in biases:
                made[f"{layer}.{name}.bias"] = values(shape[0])
        if head_norms:
            for one in ("q_norm", "k_norm"):
                made[f"{layer}.self_attn.{one}.weight"] = values(size, gain=0.3, middle=1)
    return made


def write_weights(path: Path, weights: Mapping[str, Array], dtype: str = "F32") -> None:
    """Writes a file of safetensors, in which values of float32 become ``dtype``."""
    header: dict[str, Any] = {}
    data = b""
    for name, array in weights.items():
        stored, kind = array, safetensors.entry(array)["dtype"]
        if kind == "F32":
            kind = dtype
            stored = array.astype(np.float16) if dtype == "F16" else array
        if kind == "BF16":
            stored = (array.view(np.uint32) >> 16).astype(np.uint16)
        header[name] = {**safetensors.entry(stored, len(data)), "dtype": kind}
        data += stored.tobytes()
    path.write_bytes(safetensors.packed(header, data))


def logits(config: Mapping[str, Any], weights: Mapping[str, Array], tokens: Array) -> Array:
    """Returns the logits after each of ``tokens``, float64 (tokens, vocabulary)."""
    state = weights["model.embed_tokens.weight"][tokens].astype(np.float64)
    for number in range(config["num_hidden_layers"]):
        own = {
            name.removeprefix(f"model.layers.{number}."): values.astype(np.float64)
            for name, values in weights.items()
            if name.startswith(f"model.layers.{number}.")
        }
        state = state + _attend(config, own, _norm(config, state, own["input_layernorm.weight"]), number)
        given = _norm(config, state, own["post_attention_layernorm.weight"])
        gate = _linear(own, "mlp.gate_proj", given)
        state = state + _linear(own, "mlp.down_proj", gate / (1 + np.exp(-gate)) * _linear(own, "mlp.up_proj", given))
    state = _norm(config, state, weights["model.norm.weight"])
    head = weights["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return np.asarray(state @ head.astype(np.float64).T)


def _attend(config: Mapping[str, Any], own: Mapping[str, Array], given: Array, number: int) -> Array:
    count, size = len(given), config["head_dim"]
    queries, keys, values = (
        _linear(own, f"self_attn.{one}_proj", given).reshape(count, -1, size).transpose(1, 0, 2) for one in "qkv"
    )
    if "self_attn.q_norm.weight" in own:
        queries = _norm(config, queries, own["self_attn.q_norm.weight"])
        keys = _norm(config, keys, own["self_attn.k_norm.weight"])
    queries, keys = _rotated(config, queries), _rotated(config, keys)
    groups = len(queries) // len(keys)
    keys, values = keys.repeat(groups, axis=0), values.repeat(groups, axis=0)
    scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(size)
    back = np.arange(count)[:, None] - np.arange(count)
    window = _window(config, number)
    seen = (back >= 0) & (back < (count if window is None else window))
    scores = np.where(seen, scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return _linear(own, "self_attn.o_proj", (shares @ values).transpose(1, 0, 2).reshape(count, -1))


def _window(config: Mapping[str, Any], number: int) -> int | None:
    """Returns how many tokens a layer sees."""
    if not config.get("use_sliding_window", config["architectures"] == ["MistralForCausalLM"]):
        return None
    kinds = config.get("layer_types")
    slides = kinds[number] == "sliding_attention" if kinds else number >= config.get("max_window_layers", 0)
    return config.get("sliding_window") if slides else None


def _rotated(config: Mapping[str, Any], heads: Array) -> Array:
    """Returns the heads, (heads, tokens, size), each turned by its position."""
    size = config["head_dim"]
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    theta = scaling.get("rope_theta", config["rope_theta"])
    angles = []
    for pair in range(size // 2):
        angle = theta ** (-2 * pair / size)
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        if kind == "linear":
            angle /= scaling["factor"]
        if kind == "llama3":
            length = 2 * np.pi / angle
            longest = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
            shortest = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
            if length > longest:
                angle /= scaling["factor"]
            elif length >= shortest:
                smooth = scaling["original_max_position_embeddings"] / length - scaling["low_freq_factor"]
                smooth /= scaling["high_freq_factor"] - scaling["low_freq_factor"]
                angle = (1 - smooth) * angle / scaling["factor"] + smooth * angle
        angles.append(angle)
    turned = np.arange(heads.shape[1])[:, None] * np.array(angles)
    cosines, sines = (np.concatenate([part, part], axis=-1) for part in (np.cos(turned), np.sin(turned)))
    half = np.concatenate([-heads[..., size // 2 :], heads[..., : size // 2]], axis=-1)
    return np.asarray(heads * cosines + half * sines)


def _norm(config: Mapping[str, Any], state: Array, weight: Array) -> Array:
    mean = (state**2).mean(axis=-1, keepdims=True)
    return np.asarray(state / np.sqrt(mean + config["rms_norm_eps"]) * weight)


def _linear(own: Mapping[str, Array], name: str, given: Array) -> Array:
    return np.asarray(given @ own[f"{name}.weight"].T + own.get(f"{name}.bias", 0))
