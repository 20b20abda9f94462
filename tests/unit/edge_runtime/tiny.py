"""A runtime for tests: linear classifiers in numpy, from a file format of its own.

A file holds a line of JSON, ``{"inputs": 4, "outputs": 3}``, and the weights [inputs + 1, outputs] as float64, the bias
last. Like some real runtimes it runs in one thread at a time, and returns memory that the next run overwrites. ``python
-m tests.unit.edge_runtime.tiny`` is the server with it.
"""

import json
import runpy
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_runtime import backends
from edge_runtime.backend import Device, LoadedModel, LoadFailure, Placement, RefusedInputs, RunFailure
from edge_runtime.datatypes import Array
from edge_runtime.signature import Signature
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import Tensor

LARGEST = 1000.0


CALLS: Counter[str] = Counter()
"""The numbers of loaded and of closed models."""


class TinyModel(LoadedModel):
    platform = "tiny_linear"
    concurrent = False

    def __init__(self, weights: Array) -> None:
        inputs, outputs = weights.shape[0] - 1, weights.shape[1]
        self.signature = Signature(
            {"x": Tensor("x", "FP32", (-1, inputs))}, {"scores": Tensor("scores", "FP32", (-1, outputs))}
        )
        self.placed: Placement = {"Abacus": 1}
        self._weights = weights.astype(np.float32)
        self._answer = np.empty((0, outputs), np.float32)
        self._busy = False
        CALLS["load"] += 1

    def close(self) -> None:
        CALLS["close"] += 1

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        x = feeds["x"]
        if np.abs(x).max(initial=0) > LARGEST:
            raise RefusedInputs(f"a value is beyond {LARGEST:g}")
        if self._busy:
            raise RunFailure("two threads run one model at the same time")
        self._busy = True
        try:
            self._answer.resize((len(x), self._weights.shape[1]), refcheck=False)
            np.matmul(x, self._weights[:-1], out=self._answer)
            time.sleep(0.001)  # other threads get their turn meanwhile
            self._answer += self._weights[-1]
            return [self._answer.copy() for _ in outputs]
        finally:
            self._busy = False


class Tiny:
    name = "Tiny"
    version = "1"
    server_layers = ("tiny",)

    def load(self, path: Path, tuning: Tuning, device: Device) -> LoadedModel:
        try:
            head, _, data = path.read_bytes().partition(b"\n")
            sizes = json.loads(head)
            weights = np.frombuffer(data).reshape(sizes["inputs"] + 1, sizes["outputs"])
        except (ValueError, KeyError, TypeError) as error:
            raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"no tiny model: {error}") from error
        return TinyModel(weights)


BACKEND = Tiny()


def write(path: Path, weights: Array) -> Path:
    """Writes a model with ``weights``, float64 [inputs + 1, outputs]."""
    head = json.dumps({"inputs": weights.shape[0] - 1, "outputs": weights.shape[1]})
    path.write_bytes(head.encode() + b"\n" + weights.tobytes())
    return path


if __name__ == "__main__":
    backends.register(BACKEND)
    runpy.run_module("inference_server", run_name="__main__", alter_sys=True)
