"""Small ONNX models and data sets, generated for the test, with faults on request."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURES, CLASSES = 16, 4
OPSET = 17


def weights(seed: int, rows: int, columns: int) -> NDArray[np.float32]:
    """Returns random float32 weights of shape (rows, columns), the same for the same ``seed``."""
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def mlp(
    path: Path,
    seed: int = 1,
    hidden: int = 32,
    random_answers: bool = False,
    permuted: bool = False,
    slow: int = 0,
    fails_beyond: float | None = None,
    output: str = "y",
    outputs: int = CLASSES,
) -> Path:
    """Writes a model from ``x`` float32 [N, 16] to ``y``, or the name in ``output``, float32 [N, ``outputs``].

    ``random_answers`` gives other answers at each request. With ``permuted``, each class has the name of the next.
    ``slow`` adds as many products of 512 x 512, each of which takes a tenth of a millisecond or more. With
    ``fails_beyond``, it ends in an error if the first value of the first row is larger.
    """
    first, second = weights(seed, FEATURES, hidden), weights(seed + 1, hidden, outputs)
    initializers = [numpy_helper.from_array(first, "w1")]
    second = np.roll(second, 1, axis=1) if permuted else second
    initializers.append(numpy_helper.from_array(second, "w2"))
    nodes = [*_digested(initializers, fails_beyond), *_wasted(initializers, slow)]
    nodes += [
        helper.make_node("MatMul", ["digested", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["logits"]),
    ]
    if random_answers:
        nodes.append(helper.make_node("RandomNormalLike", ["logits"], ["noise"], scale=1000.0))
        nodes.append(helper.make_node("Add", ["logits", "noise"], [output]))
    elif slow:
        nodes.append(helper.make_node("Add", ["logits", "wasted"], [output]))
    else:
        nodes.append(helper.make_node("Identity", ["logits"], [output]))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", outputs])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.save(model, path)
    return path


def _digested(initializers: list[Any], fails_beyond: float | None) -> list[Any]:
    """Returns nodes that pass ``x`` on as ``digested``; beyond the limit they reshape it to 17 columns, which it does
    not have."""
    if fails_beyond is None:
        return [helper.make_node("Identity", ["x"], ["digested"])]
    whole = {"from": [0, 0], "to": [1, 1], "one": [1], "minus": [-1], "columns": [FEATURES]}
    initializers += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in whole.items()]
    initializers.append(numpy_helper.from_array(np.array(fails_beyond, np.float32), "limit"))
    return [
        helper.make_node("Slice", ["x", "from", "to"], ["corner"]),
        helper.make_node("Greater", ["corner", "limit"], ["beyond"]),
        helper.make_node("Cast", ["beyond"], ["more"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["more", "one"], ["extra"]),
        helper.make_node("Add", ["columns", "extra"], ["wanted"]),
        helper.make_node("Concat", ["minus", "wanted"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["digested"]),
    ]


def _wasted(initializers: list[Any], slow: int) -> list[Any]:
    """Returns nodes whose output ``wasted`` is zero and takes time."""
    if not slow:
        return []
    wide = 512
    initializers += [
        numpy_helper.from_array(np.zeros((FEATURES, wide), np.float32), "widen"),
        numpy_helper.from_array(np.eye(wide, dtype=np.float32), "turn"),
        numpy_helper.from_array(np.zeros((wide, CLASSES), np.float32), "narrow"),
    ]
    nodes = [helper.make_node("MatMul", ["digested", "widen"], ["wide0"])]
    nodes += [helper.make_node("MatMul", [f"wide{step}", "turn"], [f"wide{step + 1}"]) for step in range(slow)]
    return [*nodes, helper.make_node("MatMul", [f"wide{slow}", "narrow"], ["wasted"])]


def samples(path: Path, count: int, seed: int = 1, features: int = FEATURES, name: str = "x", hidden: int = 32) -> Path:
    """Writes an evaluation set whose labels are the answers of ``mlp(seed)``: its source accuracy is 1."""
    x = np.random.default_rng(99).standard_normal((count, features)).astype(np.float32)
    label = np.zeros(count, dtype=np.int64)
    if features == FEATURES and count:
        label = np.argmax(
            np.maximum(x @ weights(seed, FEATURES, hidden), 0) @ weights(seed + 1, hidden, CLASSES), axis=1
        )
    arrays: dict[str, Any] = {name: x, "label": label}
    np.savez_compressed(path, **arrays)
    return path
