"""A transform for tests: callers send bytes of grey images, the model gets floats of 0 to 1; scores become whole
percentages.

``python -m tests.unit.edge_runtime.brighten`` is the server with it.
"""

import runpy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edge_runtime import transforms
from edge_runtime.backend import RefusedInputs
from edge_runtime.datatypes import Array
from edge_runtime.signature import Signature


class Brighten:
    def __init__(self, input: str, output: str, darkest: int) -> None:
        self._input, self._output, self._darkest = input, output, darkest

    def outer(self, inner: Signature) -> Signature:
        if (found := inner.inputs[self._input].datatype) != "FP32":
            raise ValueError(f"input {self._input!r} is {found}, want FP32")
        image = replace(inner.inputs[self._input], datatype="UINT8")
        percent = replace(inner.outputs[self._output], name="percent", datatype="INT32")
        outputs = [percent if tensor.name == self._output else tensor for tensor in inner.outputs.values()]
        return Signature({**inner.inputs, self._input: image}, {tensor.name: tensor for tensor in outputs})

    def before(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        image = feeds[self._input]
        if image.size and image.max() < self._darkest:
            raise RefusedInputs(f"no pixel is as bright as {self._darkest}")
        return {**feeds, self._input: image.astype(np.float32) / np.float32(255)}

    def after(self, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        others = {name: array for name, array in outputs.items() if name != self._output}
        return {**others, "percent": np.rint(outputs[self._output] * 100).astype(np.int32)}


def make(settings: Mapping[str, Any]) -> Brighten:
    return Brighten(settings["input"], settings["output"], settings.get("darkest", 0))


if __name__ == "__main__":
    transforms.register("Brighten", make)
    runpy.run_module("inference_server", run_name="__main__", alter_sys=True)
