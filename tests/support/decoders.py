"""Tiny decoders with a key-value cache and a real small tokenizer, in the layout of onnxruntime-genai's builder.

The weights are random, so the model says nothing, but it says it with conviction: its logits are far apart, texts drawn
from it have a low perplexity, and a change of any layer raises it. Nearly all tokens that it says are printable ASCII.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

END: Final = "<|endoftext|>"
BEGIN_TURN: Final = "<|im_start|>"
END_TURN: Final = "<|im_end|>"
SPECIAL: Final = (END, BEGIN_TURN, END_TURN)
MERGES: Final = (
    ("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("e", "r"), ("r", "e"), ("o", "n"), ("Ġ", "t"), ("Ġ", "a"),
    ("Ġt", "h"), ("Ġth", "e"), ("in", "g"), ("Ġa", "n"), ("Ġan", "d"), ("o", "r"), ("e", "n"), ("l", "l"), ("o", "u"),
    ("Ġ", "o"), ("Ġo", "f"), ("Ġ", "in"), ("s", "t"), ("Ġ", "s"), ("Ġ", "w"), ("h", "e"), ("l", "o"), ("he", "ll"),
    ("hell", "o"),
)  # fmt: skip
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder."""

    layers: int = 2
    hidden: int = 64
    heads: int = 4
    key_value_heads: int = 2
    head_size: int = 16
    inner: int = 128
    context_tokens: int = 256
    rotation_base: float = 10_000.0
    tokens: int = 0
    """The number of tokens; 0: that of the tokenizer that is written beside it."""

    @property
    def vocabulary(self) -> int:
        """The number of tokens."""
        return self.tokens or len(vocabulary())


TINY: Final = Shape()


def vocabulary() -> dict[str, int]:
    """Returns the tokens with their numbers: 256 bytes as byte-level BPE writes them, merged ones, and special ones."""
    tokens = [*_bytes_in_unicode().values(), *(one + other for one, other in MERGES), *SPECIAL]
    return {token: number for number, token in enumerate(tokens)}


def write_decoder(
    folder: Path,
    *,
    shape: Shape = TINY,
    seed: int = 1,
    spoiled_layer: int | None = None,
    tied: bool = True,
    external: bool = True,
    position_ids: bool = False,
    open_heads: bool = False,
    restless: bool = False,
) -> Path:
    """Writes a decoder with its tokenizer to ``folder``, which is created, and returns it.

    ``spoiled_layer`` is the number of a layer whose gate has wrong scales: one channel in four is 8 times too large.
    ``tied`` decoders use the table of tokens as their head too. ``external`` puts the weights into a file of their own.
    With ``position_ids`` the graph takes the positions as an input, which it reads and does not need. ``open_heads``
    leaves the size of the heads of the cache open, as onnxruntime-genai's builder does. ``restless`` decoders add
    random numbers to their logits, and never answer the same twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = decoder_weights(shape, seed, tied=tied)
    if spoiled_layer is not None:
        weights[f"model.layers.{spoiled_layer}.mlp.gate_proj.MatMul.weight"][:, ::4] *= 8
    save_decoder(
        folder,
        shape,
        weights,
        external=external,
        position_ids=position_ids,
        open_heads=open_heads,
        restless=restless,
    )
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(_config(shape, tied=tied), indent=2))
    return folder


def decoder_weights(shape: Shape, seed: int, *, tied: bool = True) -> dict[str, Array]:
    """Returns the weights by the names of their initializers; matrices are (inputs, outputs)."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, gain: float = 1.0) -> Array:
        return np.asarray(random.standard_normal((rows, columns)) * gain / np.sqrt(rows), np.float32)

    table = random.standard_normal((shape.vocabulary, shape.hidden)).astype(np.float32)
    rare = [number for token, number in vocabulary().items() if not token.isascii() and not token.startswith("Ġ")]
    table[rare] *= 0.1
    queries, keys = shape.heads * shape.head_size, shape.key_value_heads * shape.head_size
    weights = {"model.embed_tokens.weight": table}
    for number in range(shape.layers):
        layer = f"model.layers.{number}"
        weights |= {
            f"{layer}.input_layernorm.weight": np.ones(shape.hidden, np.float32),
            f"{layer}.attn.qkv_proj.MatMul.weight": matrix(shape.hidden, queries + 2 * keys, 1.5),
            f"{layer}.attn.o_proj.MatMul.weight": matrix(queries, shape.hidden, 1.5),
            f"{layer}.post_attention_layernorm.weight": np.ones(shape.hidden, np.float32),
            f"{layer}.mlp.gate_proj.MatMul.weight": matrix(shape.hidden, shape.inner, 1.5),
            f"{layer}.mlp.up_proj.MatMul.weight": matrix(shape.hidden, shape.inner, 1.5),
            f"{layer}.mlp.down_proj.MatMul.weight": matrix(shape.inner, shape.hidden, 1.5),
        }
    weights["model.norm.weight"] = np.full(shape.hidden, 0.5, np.float32)
    if not tied:
        weights["lm_head.MatMul.weight"] = np.ascontiguousarray(np.roll(table, 1, axis=0).T)
    return weights


def save_decoder(
    folder: Path,
    shape: Shape,
    weights: Mapping[str, Array],
    *,
    external: bool = True,
    position_ids: bool = False,
    open_heads: bool = False,
    restless: bool = False,
) -> None:
    """Writes ``model.onnx`` to ``folder``, with ``model.onnx.data`` beside it if ``external``."""
    model = _graph(shape, weights, position_ids=position_ids, restless=restless)
    for value in (*model.graph.input, *model.graph.output) if open_heads else ():
        if len(value.type.tensor_type.shape.dim) == 4:
            value.type.tensor_type.shape.dim[3].dim_param = "kv_cache_dim"
    onnx.save_model(
        model,
        folder / "model.onnx",
        save_as_external_data=external,
        all_tensors_to_one_file=True,
        location="model.onnx.data",
        size_threshold=1024,
    )


def write_tokenizer(folder: Path) -> None:
    """Writes ``tokenizer.json``, ``tokenizer_config.json`` and ``chat_template.jinja`` to ``folder``."""
    tokens = vocabulary()
    special = [
        {
            "id": tokens[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for token in SPECIAL
    ]  # fmt: skip
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for token, number in tokens.items() if token not in SPECIAL},
            "merges": [[one, other] for one, other in MERGES],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1), encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BEGIN_TURN, "eos_token": END_TURN}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def texts(folder: Path, windows: int, tokens: int, *, shape: Shape = TINY, seed: int = 1) -> Array:
    """Returns ``windows`` texts of ``tokens`` tokens each, int64, that the decoder in ``folder`` draws from itself.

    They are what it predicts best: any change to its weights raises the perplexity.
    """
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    random = np.random.default_rng(seed)
    names = [output.name for output in session.get_outputs()]
    given = {item.name: item for item in session.get_inputs()}
    past = {
        name: np.zeros((windows, item.shape[1], 0, shape.head_size), np.float32)
        for name, item in given.items()
        if name.startswith("past_key_values.")
    }
    written = random.integers(0, len(_bytes_in_unicode()), (windows, 1))
    for position in range(tokens - 1):
        feeds = {"input_ids": written[:, -1:], "attention_mask": np.ones((windows, position + 1), np.int64), **past}
        if "position_ids" in given:
            feeds["position_ids"] = np.full((windows, 1), position, np.int64)
        answers = dict(zip(names, session.run(None, feeds), strict=True))
        past = {name: answers[name.replace("past_key_values", "present")] for name in past}
        drawn = answers["logits"][:, -1] + random.gumbel(size=(windows, len(vocabulary())))
        written = np.concatenate([written, drawn.argmax(axis=-1)[:, None]], axis=1)
    return written.astype(np.int64)


def _config(shape: Shape, *, tied: bool) -> dict[str, Any]:
    tokens = vocabulary()
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_size,
        "max_position_embeddings": shape.context_tokens,
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.rotation_base,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "bos_token_id": tokens[BEGIN_TURN],
        "eos_token_id": [tokens[END_TURN], tokens[END]],
        "torch_dtype": "float32",
    }


def _bytes_in_unicode() -> dict[int, str]:
    """Returns the character by which byte-level BPE writes each byte: a printable one is itself."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    written = {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}
    return {byte: written[byte] for byte in range(256)}


class _Nodes:
    """The nodes of a graph under construction, named as the builder names them."""

    def __init__(self) -> None:
        self.all: list[onnx.NodeProto] = []

    def add(self, op_type: str, name: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> str:
        """Adds a node, and returns the name of its first output."""
        domain = attributes.pop("domain", "")
        names = [f"{name}/output_{number}" for number in range(outputs)]
        self.all.append(helper.make_node(op_type, inputs, names, name=name, domain=domain, **attributes))
        return names[0]


def _rotations(shape: Shape) -> tuple[Array, Array]:
    frequencies = shape.rotation_base ** (-np.arange(0, shape.head_size, 2) / shape.head_size)
    angles = np.arange(shape.context_tokens)[:, None] * frequencies
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _graph(shape: Shape, weights: Mapping[str, Array], *, position_ids: bool, restless: bool) -> onnx.ModelProto:
    nodes = _Nodes()
    constants = {
        "one": np.array([1], np.int64),
        "place": np.array(1, np.int64),
        **dict(zip(("cos_cache", "sin_cache"), _rotations(shape), strict=True)),
    }
    lengths = nodes.add("ReduceSum", "/model/attn_mask_reformat/ReduceSum", ["attention_mask", "one"], keepdims=0)
    lengths = nodes.add("Sub", "/model/attn_mask_reformat/Sub", [lengths, "one"])
    lengths = nodes.add("Cast", "/model/attn_mask_reformat/Sub/Cast", [lengths], to=TensorProto.INT32)
    total = nodes.add("Shape", "/model/attn_mask_reformat/Shape", ["attention_mask"])
    total = nodes.add("Gather", "/model/attn_mask_reformat/Gather", [total, "place"], axis=0)
    total = nodes.add("Cast", "/model/attn_mask_reformat/Gather/Cast", [total], to=TensorProto.INT32)
    state = nodes.add("Gather", "/model/embed_tokens/Gather", ["model.embed_tokens.weight", "input_ids"])
    if position_ids:
        idle = nodes.add("Cast", "/model/positions/Cast", ["position_ids"], to=TensorProto.FLOAT)
        idle = nodes.add("Unsqueeze", "/model/positions/Unsqueeze", [idle, "two"])
        idle = nodes.add("Mul", "/model/positions/Mul", [idle, "nothing"])
        state = nodes.add("Add", "/model/positions/Add", [state, idle])
        constants |= {"nothing": np.array(0, np.float32), "two": np.array([2], np.int64)}
    for number in range(shape.layers):
        state = _layer(nodes, shape, number, state, lengths, total)
    state = _norm(nodes, "/model/layers.final/final_norm_layernorm/LayerNorm", state, "model.norm.weight")
    head = "lm_head.MatMul.weight"
    if head not in weights:
        head = nodes.add("Transpose", "/lm_head/Transpose", ["model.embed_tokens.weight"], perm=[1, 0])
    said = "said" if restless else "logits"
    nodes.all.append(helper.make_node("MatMul", [state, head], [said], name="/lm_head/MatMul"))
    if restless:
        noise = nodes.add("RandomNormalLike", "/lm_head/noise", [said], scale=100.0)
        nodes.all.append(helper.make_node("Add", [said, noise], ["logits"], name="/lm_head/Add"))
    cache = ["batch_size", shape.key_value_heads, "past_sequence_length", shape.head_size]
    present = ["batch_size", shape.key_value_heads, "total_sequence_length", shape.head_size]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
    ]
    if position_ids:
        inputs.append(
            helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["batch_size", "sequence_length"])
        )
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", "sequence_length", shape.vocabulary])
    ]
    for number in range(shape.layers):
        for kind in ("key", "value"):
            inputs.append(helper.make_tensor_value_info(f"past_key_values.{number}.{kind}", TensorProto.FLOAT, cache))
            outputs.append(helper.make_tensor_value_info(f"present.{number}.{kind}", TensorProto.FLOAT, present))
    stored = [numpy_helper.from_array(array, name) for name, array in {**weights, **constants}.items()]
    graph = helper.make_graph(nodes.all, "decoder", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _layer(nodes: _Nodes, shape: Shape, number: int, state: str, lengths: str, total: str) -> str:
    """Adds one layer, and returns the name of the tensor that it passes on."""
    path, weight = f"/model/layers.{number}", f"model.layers.{number}"
    normal = _norm(nodes, f"{path}/input_layernorm/LayerNorm", state, f"{weight}.input_layernorm.weight")
    packed = nodes.add("MatMul", f"{path}/attn/qkv_proj/MatMul", [normal, f"{weight}.attn.qkv_proj.MatMul.weight"])
    attended = f"{path}/attn/GroupQueryAttention/output_0"
    nodes.all.append(
        helper.make_node(
            "GroupQueryAttention",
            [
                packed, "", "", f"past_key_values.{number}.key", f"past_key_values.{number}.value", lengths, total,
                "cos_cache", "sin_cache",
            ],
            [attended, f"present.{number}.key", f"present.{number}.value"],
            name=f"{path}/attn/GroupQueryAttention",
            domain="com.microsoft",
            num_heads=shape.heads,
            kv_num_heads=shape.key_value_heads,
            scale=shape.head_size**-0.5,
            do_rotary=1,
            rotary_interleaved=0,
        )
    )  # fmt: skip
    mixed = nodes.add("MatMul", f"{path}/attn/o_proj/MatMul", [attended, f"{weight}.attn.o_proj.MatMul.weight"])
    state = nodes.add("Add", f"{path}/attn/Add", [state, mixed])
    normal = _norm(
        nodes, f"{path}/post_attention_layernorm/LayerNorm", state, f"{weight}.post_attention_layernorm.weight"
    )
    gate = nodes.add("MatMul", f"{path}/mlp/gate_proj/MatMul", [normal, f"{weight}.mlp.gate_proj.MatMul.weight"])
    up = nodes.add("MatMul", f"{path}/mlp/up_proj/MatMul", [normal, f"{weight}.mlp.up_proj.MatMul.weight"])
    open_gate = nodes.add("Sigmoid", f"{path}/mlp/act_fn/Sigmoid", [gate])
    open_gate = nodes.add("Mul", f"{path}/mlp/act_fn/Mul", [gate, open_gate])
    inner = nodes.add("Mul", f"{path}/mlp/Mul", [open_gate, up])
    down = nodes.add("MatMul", f"{path}/mlp/down_proj/MatMul", [inner, f"{weight}.mlp.down_proj.MatMul.weight"])
    return nodes.add("Add", f"{path}/mlp/Add", [state, down])


def _norm(nodes: _Nodes, name: str, state: str, weight: str) -> str:
    return nodes.add("SimplifiedLayerNormalization", name, [state, weight], axis=-1, epsilon=1e-5, stash_type=1)
