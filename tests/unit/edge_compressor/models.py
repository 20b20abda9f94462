"""Small models with the shapes that matter: a residual convolutional net, a perceptron, and broken ones.

Nothing is trained. Weights are seeded random numbers, and the last layer is scaled so that classes are about
equally frequent; the labels of a set are the net's own answers, some of them spoilt.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

CLASSES = 10
SIDE = 12


class Builder:
    """A graph in the making."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int) -> str:
        values = self.random.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))
        return self.constant(name, values.astype(np.float32))

    def constant(self, name: str, values: Array) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        name = attributes.pop("name", output.removesuffix("_out"))
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        return output

    def save(self, path: Path, shape: list[Any], *, batch: Any = "n", classes: int = CLASSES) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, classes])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, path)
        return path


def residual_net(path: Path, *, channels: int = 8, blocks: int = 2, batch: Any = "n") -> Path:
    """Input x (n, 1, 12, 12); node names stem, conv_a0, norm0, relu0, conv_b0, add0, …, head."""
    net = Builder()
    current = net.node("Conv", ["x", net.weight("w_stem", channels, 1, 3, 3)], "stem_out", pads=[1] * 4)
    for block in range(blocks):
        first = net.weight(f"w_a{block}", channels, channels, 3, 3)
        second = net.weight(f"w_b{block}", channels, channels, 3, 3)
        inner = net.node("Conv", [current, first], f"conv_a{block}_out", pads=[1] * 4)
        norm = [
            net.constant(f"{name}{block}", np.full(channels, value, dtype=np.float32))
            for name, value in (("scale", 1.1), ("shift", 0.1), ("mean", 0.05), ("variance", 0.9))
        ]
        inner = net.node("BatchNormalization", [inner, *norm], f"norm{block}_out")
        inner = net.node("Relu", [inner], f"relu{block}_out")
        inner = net.node("Conv", [inner, second], f"conv_b{block}_out", pads=[1] * 4)
        current = net.node("Relu", [net.node("Add", [inner, current], f"add{block}_out")], f"end{block}_out")
    pooled = net.node(
        "Flatten", [net.node("MaxPool", [current], "pool_out", kernel_shape=[4, 4], strides=[4, 4])], "flat"
    )
    features = channels * (SIDE // 4) ** 2
    _balanced_head(net, pooled, features, path, [1, SIDE, SIDE])
    return net.save(path, [1, SIDE, SIDE], batch=batch)


def perceptron(path: Path, *, features: int = 16, hidden: int = 64, batch: Any = "n") -> Path:
    """Input x (n, 16); nodes hidden (Gemm), relu, head (Gemm)."""
    net = Builder()
    hidden_out = net.node("Gemm", ["x", net.weight("w1", features, hidden), net.weight("b1", hidden)], "hidden_out")
    _balanced_head(net, net.node("Relu", [hidden_out], "relu_out"), hidden, path, [features])
    return net.save(path, [features], batch=batch)


def inputs_for(model: Path, count: int, *, seed: int = 1) -> Array:
    shape = ort.InferenceSession(model).get_inputs()[0].shape[1:]
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def answers(model: Path, x: Array) -> Array:
    session = ort.InferenceSession(model)
    if session.get_inputs()[0].shape[0] == 1:
        return np.concatenate([session.run(None, {"x": x[i : i + 1]})[0] for i in range(len(x))])
    return np.asarray(session.run(None, {"x": x})[0])


def write_calibration(path: Path, model: Path, count: int = 64) -> Path:
    np.savez(path, x=inputs_for(model, count, seed=2))
    return path


def write_evaluation(path: Path, model: Path, count: int = 400, *, spoilt: int = 20) -> Path:
    """Labels are the model's own answers, but for the first ``spoilt``."""
    x = inputs_for(model, count)
    label = answers(model, x).argmax(axis=1).astype(np.int64)
    label[:spoilt] = (label[:spoilt] + 1) % CLASSES
    np.savez(path, x=x, label=label)
    return path


def edited(path: Path, to: Path, edit: Any) -> Path:
    """A copy of the model after ``edit(model_proto)``."""
    model = onnx.load(path)
    edit(model)
    onnx.save(model, to)
    return to


def permuted(path: Path, to: Path) -> Path:
    """The same model with its classes in another order."""

    def rotate(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name in ("w_head", "b_head"):
                tensor.CopyFrom(
                    numpy_helper.from_array(np.roll(numpy_helper.to_array(tensor), 1, axis=-1), tensor.name)
                )

    return edited(path, to, rotate)


def _balanced_head(net: Builder, features: str, count: int, path: Path, shape: list[int]) -> None:
    """A last Gemm whose scores have mean 0 and deviation 1 on random inputs."""
    weight = net.random.standard_normal((count, CLASSES)).astype(np.float32)
    probe = Builder()
    probe.nodes, probe.weights = list(net.nodes), list(net.weights)
    probe.node("MatMul", [features, probe.constant("w_head", weight)], "y", name="head")
    probe.save(path, shape)
    scores = answers(path, inputs_for(path, 500, seed=3))
    mean, deviation = scores.mean(axis=0), scores.std(axis=0)
    net.node(
        "Gemm",
        [
            features,
            net.constant("w_head", (weight / deviation).astype(np.float32)),
            net.constant("b_head", (-mean / deviation).astype(np.float32)),
        ],
        "y",
        name="head",
    )
