"""Small ONNX models and data sets, made on the spot, with a fault where a test wants one."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURES, CLASSES = 16, 4
OPSET = 17


def weights(seed: int, rows: int, columns: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def mlp(path: Path, seed: int = 1, hidden: int = 32, random_answers: bool = False) -> Path:
    """``x`` float32 [N, 16] -> ``y`` float32 [N, 4]. ``random_answers``: other ones each time it is asked."""
    first, second = weights(seed, FEATURES, hidden), weights(seed + 1, hidden, CLASSES)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["logits"]),
    ]
    if random_answers:
        nodes.append(helper.make_node("RandomNormalLike", ["logits"], ["noise"], scale=1000.0))
        nodes.append(helper.make_node("Add", ["logits", "noise"], ["y"]))
    else:
        nodes.append(helper.make_node("Identity", ["logits"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(first, "w1"), numpy_helper.from_array(second, "w2")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.save(model, path)
    return path


def samples(path: Path, count: int, seed: int = 1, features: int = FEATURES, name: str = "x", hidden: int = 32) -> Path:
    """An evaluation set whose labels are what ``mlp(seed)`` answers: its source accuracy is 1."""
    x = np.random.default_rng(99).standard_normal((count, features)).astype(np.float32)
    label = np.zeros(count, dtype=np.int64)
    if features == FEATURES and count:
        label = np.argmax(
            np.maximum(x @ weights(seed, FEATURES, hidden), 0) @ weights(seed + 1, hidden, CLASSES), axis=1
        )
    arrays: dict[str, Any] = {name: x, "label": label}
    np.savez_compressed(path, **arrays)
    return path
