"""Small models with the shapes that matter: a residual convolutional net, a perceptron, and broken ones.

Nothing is trained. Weights are seeded random numbers, and the last layer is scaled so that classes are about equally
frequent; the labels of a set are the net's own answers, some of them changed.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Files:
    """A model with its data sets, which tests must not change."""

    model: Path
    calibration: Path
    evaluation: Path


class Builder:
    """A builder of graphs."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int) -> str:
        values = self.random.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))
        return self.constant(name, values.astype(np.float32))

    def thin_weight(self, name: str, rank: int, *shape: int) -> str:
        """Adds a weight of this rank in each of its first two dimensions."""
        core = self.random.standard_normal((rank, rank, *shape[2:]))
        first, second = (self.random.standard_normal((size, rank)) for size in shape[:2])
        values = np.einsum("ab...,oa,ib->oi...", core, first, second)
        return self.constant(name, (values / (values.std() * np.sqrt(np.prod(shape[1:])))).astype(np.float32))

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
    """Writes a net with input x (n, 1, 12, 12) and nodes stem, conv_a0, norm0, relu0, conv_b0, add0, …, head."""
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
    """Writes a net with input x (n, 16) and nodes hidden (Gemm), relu, head (Gemm)."""
    net = Builder()
    hidden_out = net.node("Gemm", ["x", net.weight("w1", features, hidden), net.weight("b1", hidden)], "hidden_out")
    _balanced_head(net, net.node("Relu", [hidden_out], "relu_out"), hidden, path, [features])
    return net.save(path, [features], batch=batch)


def thin_net(path: Path, *, channels: int = 64, rank: int = 16, batch: Any = "n") -> Path:
    """Writes a net with input x (n, 1, 12, 12); weights of rank 16: w_body, w_down (stride 2), w_point (1x1), w_dense
    (MatMul), w_gemm (transposed); of full rank: w_stem, w_depth (depthwise), w_head."""
    net = Builder()
    current = net.node("Conv", ["x", net.weight("w_stem", channels, 1, 3, 3)], "stem_out", pads=[1] * 4)
    current = net.node("Relu", [current], "relu_out")
    body = [current, net.thin_weight("w_body", rank, channels, channels, 3, 3), net.weight("b_body", channels)]
    current = net.node("Relu", [net.node("Conv", body, "body_out", pads=[1] * 4)], "relu1_out")
    down = [current, net.thin_weight("w_down", rank, channels, channels, 3, 3)]
    current = net.node("Conv", down, "down_out", pads=[1] * 4, strides=[2, 2])
    depth = [current, net.weight("w_depth", channels, 1, 3, 3)]
    current = net.node("Relu", [net.node("Conv", depth, "depth_out", pads=[1] * 4, group=channels)], "relu2_out")
    point = [current, net.thin_weight("w_point", rank, channels, channels, 1, 1), net.weight("b_point", channels)]
    current = net.node("Relu", [net.node("Conv", point, "point_out", strides=[2, 2])], "relu3_out")
    current = net.node("Flatten", [current], "flat")
    features = channels * (SIDE // 4) ** 2
    current = net.node("MatMul", [current, net.thin_weight("w_dense", rank, features, channels)], "dense_out")
    gemm = [current, net.thin_weight("w_gemm", rank, channels, channels), net.weight("b_gemm", channels)]
    current = net.node("Gemm", gemm, "gemm_out", transB=1)
    _balanced_head(net, net.node("Relu", [current], "relu4_out"), channels, path, [1, SIDE, SIDE])
    return net.save(path, [1, SIDE, SIDE], batch=batch)


def recurrent(path: Path, *, features: int = 16, hidden: int = 32) -> Path:
    """Writes a net with inputs x (n, 16), state (2, n, 32), rate (int64, a scalar) and outputs y (n, 1), a probability,
    and next (2, n, 32).

    Like models of streams, its inputs share no batch dimension.
    """
    net = Builder()
    both = net.node("ReduceSum", ["state", net.constant("first", np.array([0]))], "both_out", keepdims=0)
    fed = net.node("MatMul", ["x", net.weight("w_in", features, hidden)], "fed_out")
    kept = net.node("MatMul", [both, net.weight("w_state", hidden, hidden)], "kept_out")
    now = net.node("Tanh", [net.node("Add", [fed, kept], "sum_out")], "now_out")
    wide = net.node("MatMul", [now, net.weight("w_wide", hidden, 512)], "wide_out")
    score = net.node("MatMul", [net.node("Tanh", [wide], "bent_out"), net.weight("w_score", 512, 1)], "score_out")
    rate = net.node(
        "Div", [net.node("Cast", ["rate"], "rate_out", to=1), net.constant("usual", np.float32([2e3]))], "r"
    )
    net.node("Sigmoid", [net.node("Mul", [score, rate], "scaled_out")], "y", name="probability")
    net.node("Add", ["state", net.node("Unsqueeze", [now, net.constant("axis", np.array([0]))], "new_out")], "next")
    graph = helper.make_graph(
        net.nodes,
        "recurrent",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", features]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, "n", hidden]),
            helper.make_tensor_value_info("rate", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [2, "n", hidden]),
        ],
        net.weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def stream(model: Path, count: int) -> dict[str, Array]:
    """Returns samples for ``recurrent``, each with the model's own shapes, labelled by its own answers."""
    random = np.random.default_rng(4)
    arrays: dict[str, Array] = {
        "x": random.standard_normal((count, 1, 16)).astype(np.float32),
        "state": random.standard_normal((count, 2, 1, 32)).astype(np.float32),
        "rate": np.full(count, 16_000),
    }
    session = ort.InferenceSession(model)
    feeds = [{name: np.asarray(array[row]) for name, array in arrays.items()} for row in range(count)]
    right = [session.run(["y"], feed)[0][0, 0] >= 0.5 for feed in feeds]
    return {**arrays, "label": np.array(right, dtype=np.int64)}


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
    """Writes a set whose labels are the model's own answers, except for the first ``spoilt``."""
    x = inputs_for(model, count)
    label = answers(model, x).argmax(axis=1).astype(np.int64)
    label[:spoilt] = (label[:spoilt] + 1) % CLASSES
    np.savez(path, x=x, label=label)
    return path


def edited(path: Path, to: Path, edit: Any) -> Path:
    """Writes a copy of the model after ``edit(model_proto)``."""
    model = onnx.load(path)
    edit(model)
    onnx.save(model, to)
    return to


def permuted(path: Path, to: Path) -> Path:
    """Writes the same model with its classes in another order."""

    def rotate(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name in ("w_head", "b_head"):
                tensor.CopyFrom(
                    numpy_helper.from_array(np.roll(numpy_helper.to_array(tensor), 1, axis=-1), tensor.name)
                )

    return edited(path, to, rotate)


def _balanced_head(net: Builder, features: str, count: int, path: Path, shape: list[int]) -> None:
    """Adds a last Gemm whose scores have mean 0 and deviation 1 on random inputs."""
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


def gru_and_rnn(path: Path) -> Path:
    """Writes a net with input x (n, 5, 6): a GRU before an RNN; onnxruntime crashes while it loads that in float16."""
    random, width = np.random.default_rng(11), 8
    weights = {"W": (1, 24, 6), "R": (1, 24, width), "B": (1, 48), "W2": (1, width, width), "R2": (1, width, width)}
    builder = Builder()
    names = {
        name: builder.constant(name, (random.standard_normal(shape) * 0.4).astype(np.float32))
        for name, shape in {**weights, "v": (width, 3)}.items()
    }
    axis = builder.constant("axis", np.array([1]))
    builder.node("Transpose", ["x"], "t", perm=[1, 0, 2])
    builder.node("GRU", ["t", names["W"], names["R"], names["B"]], "g", hidden_size=width, linear_before_reset=1)
    builder.node("Squeeze", ["g", axis], "g3")
    builder.node("RNN", ["g3", names["W2"], names["R2"]], "r", hidden_size=width, activations=["Relu"])
    builder.node("Squeeze", ["r", axis], "r3")
    builder.node("Transpose", ["r3"], "q", perm=[1, 0, 2])
    builder.node("MatMul", ["q", names["v"]], "p")
    builder.node("Flatten", ["p"], "y")
    return builder.save(path, [5, 6], classes=15)
