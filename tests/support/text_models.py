"""A model that generates text, small and predictable: a decoder of one layer, and a tokenizer of bytes.

The decoder's scores follow the last token by a table, so it says a given text; its attention and its cache are real.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEADS, KEY_HEADS, HEAD_SIZE = 4, 2, 8
WIDTH = HEADS * HEAD_SIZE
CONTEXT = 256
END, FILE_END = "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
_NAMES = {byte: chr(byte) for byte in PRINTABLE} | {byte: chr(256 + place) for place, byte in enumerate(_OTHERS)}
"""The names of bytes as byte-level tokenizers write them."""
SPECIAL = ("<|im_start|>", END, FILE_END)
TOKENS = {name: number for number, name in enumerate([*_NAMES.values(), *SPECIAL])}
HIGH = 20.0
"""The score of the token that follows; that of all others is near 0."""


def write_text_model(
    folder: Path,
    text: str,
    *,
    endless: bool = False,
    nameless: int = 0,
    attention: float = 0.0,
    template: str | None = TEMPLATE,
    context: int = CONTEXT,
    **config: Any,
) -> Path:
    """Writes a model that says ``text``, in which no byte stands twice, and then END, or the text again and again if it
    is ``endless``.

    ``nameless`` is the number of tokens that the decoder scores and the tokenizer lacks, and which score highest;
    ``attention`` the share of the scores that depends on all tokens before; ``config`` goes into config.json. Returns
    ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json")
    said = [TOKENS[_NAMES[byte]] for byte in text.encode()]
    assert len(set(said)) == len(said), "the next token follows from the last one alone"
    named = len(TOKENS)
    table = np.zeros((named + nameless, named + nameless), np.float32)
    table[:, said[0]] = HIGH
    for token, following in zip(said, [*said[1:], said[0] if endless else TOKENS[END]], strict=True):
        table[token] = 0
        table[token, following] = HIGH
    table[:, named:] = 2 * HIGH
    write_decoder(folder / "model.onnx", table, attention)
    about = {
        "max_position_embeddings": context,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "hidden_size": WIDTH,
        "eos_token_id": TOKENS[FILE_END],
    }
    (folder / "config.json").write_text(json.dumps(about | config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END, "chat_template": template}))
    return folder


def write_tokenizer(path: Path) -> None:
    """Writes a tokenizer with a token for each byte, and SPECIAL ones."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": TOKENS[name], "content": name, **flags, "special": True} for name in SPECIAL],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {name: number for name, number in TOKENS.items() if name not in SPECIAL},
            "merges": [],
        },
    }
    path.write_text(json.dumps(tokenizer))


def write_decoder(path: Path, table: "np.ndarray[Any, Any]", attention: float) -> None:
    """Writes a decoder whose scores are the row of the last token in ``table``, and ``attention`` times those of a
    GroupQueryAttention with random weights."""
    random = np.random.default_rng(0)
    size = len(table)
    weights = {
        "table": table,
        "embedding": random.normal(size=(size, WIDTH)),
        "project": random.normal(size=(WIDTH, (HEADS + 2 * KEY_HEADS) * HEAD_SIZE)) / 4,
        "head": random.normal(size=(WIDTH, size)) * attention,
    }
    numbers = {"one": np.array(1, np.int64), "axis": np.array([1], np.int64)}
    node = helper.make_node
    nodes = [
        node("Gather", ["embedding", "input_ids"], ["embedded"]),
        node("MatMul", ["embedded", "project"], ["projected"]),
        node("ReduceSum", ["attention_mask", "axis"], ["known"], keepdims=1),
        node("Sub", ["known", "one"], ["before"]),
        node("Cast", ["before"], ["lengths"], to=TensorProto.INT32),
        node("Shape", ["attention_mask"], ["shape"]),
        node("Gather", ["shape", "one"], ["long_total"], axis=0),
        node("Cast", ["long_total"], ["total"], to=TensorProto.INT32),
        node(
            "GroupQueryAttention",
            ["projected", "", "", "past_key_values.0.key", "past_key_values.0.value", "lengths", "total"],
            ["attended", "present.0.key", "present.0.value"],
            domain="com.microsoft",
            num_heads=HEADS,
            kv_num_heads=KEY_HEADS,
        ),
        node("MatMul", ["attended", "head"], ["mixed"]),
        node("Gather", ["table", "input_ids"], ["following"]),
        node("Add", ["mixed", "following"], ["logits"]),
    ]
    info, real, whole = helper.make_tensor_value_info, TensorProto.FLOAT, TensorProto.INT64
    past = ["batch", KEY_HEADS, "past", HEAD_SIZE]
    present = ["batch", KEY_HEADS, "total", HEAD_SIZE]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [
            info("input_ids", whole, ["batch", "tokens"]),
            info("attention_mask", whole, ["batch", "total"]),
            *(info(f"past_key_values.0.{part}", real, past) for part in ("key", "value")),
        ],
        [
            info("logits", real, ["batch", "tokens", size]),
            *(info(f"present.0.{part}", real, present) for part in ("key", "value")),
        ],
        [
            *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
            *(numpy_helper.from_array(value, name) for name, value in numbers.items()),
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def write_encoder(folder: Path, *, max_tokens: int) -> "np.ndarray[Any, Any]":
    """Writes a model with a vector for each token, and a tokenizer; returns the vectors, (tokens, WIDTH)."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json")
    table = np.random.default_rng(2).normal(size=(len(TOKENS), WIDTH)).astype(np.float32)
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["last_hidden_state"]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [info(name, TensorProto.INT64, ["batch", "tokens"]) for name in ("input_ids", "attention_mask")],
        [info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", WIDTH])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([2], np.int64), "last")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / "model.onnx"
    )
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": max_tokens}))
    return table
