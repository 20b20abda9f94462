"""The nodes that lose most by quantization.

Source and candidate share the names of most tensors. In the candidate each such tensor is cut: its readers get the
source's value, so that the output of a node has the error of that node alone, not of those before it. One run of each
model measures all nodes, while quantizing them one after the other would take a trial each. The error is |candidate -
source| / |source|, root mean squares: the inverse of the signal-to-quantization-noise ratio.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import helper

from edge_compressor.models import normal_form, runtime, weight_files
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array

_GIVEN: Final = ".given"


def errors(
    source: onnx.ModelProto, candidate: Path, names: Sequence[str], feeds: Sequence[dict[str, Array]]
) -> dict[str, float]:
    """Returns the error, from 0, of each of ``names`` (nodes of ``source``) whose output both models have.

    ``candidate`` lies in a folder where files may be created. Raises what onnxruntime raises for graphs that it cannot
    run once they are cut.
    """
    wanted = set(names)
    outputs = {node.name: node.output[0] for node in source.graph.node if node.name in wanted and node.output}
    other = normal_form.load(candidate)
    shared = sorted(_made(source.graph) & _made(other.graph))
    right = _run(source, shared, [dict(feed) for feed in feeds], candidate.parent / "source-open.onnx")
    cut = [tensor for tensor in shared if right[0][tensor].dtype.kind == "f"]
    _cut(other, {tensor: right[0][tensor] for tensor in cut})
    given = [
        {**feed, **{tensor + _GIVEN: values[tensor] for tensor in cut}}
        for feed, values in zip(feeds, right, strict=True)
    ]
    got = _run(other, cut, given, candidate.parent / "candidate-open.onnx")
    return {name: _error(right, got, output) for name, output in outputs.items() if output in set(cut)}


def rank(
    source: onnx.ModelProto, candidate: Path, names: Sequence[str], feeds: Sequence[dict[str, Array]]
) -> list[str]:
    """Returns ``names`` by their ``errors``, the most sensitive first, without those that have no error."""
    found = errors(source, candidate, names, feeds)
    return sorted((name for name in found if found[name] > 0), key=lambda name: (-found[name], name))


def _made(graph: onnx.GraphProto) -> set[str]:
    return {output for node in graph.node for output in node.output if output}


def _cut(model: onnx.ModelProto, values: Mapping[str, Array]) -> None:
    for node in model.graph.node:
        for position, tensor in enumerate(node.input):
            if tensor in values:
                node.input[position] = tensor + _GIVEN
    for tensor, value in values.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        shape = [None] * value.ndim  # the shape may differ between samples
        model.graph.input.append(helper.make_tensor_value_info(tensor + _GIVEN, kind, shape))


def _run(
    model: onnx.ModelProto, tensors: Sequence[str], feeds: Sequence[dict[str, Array]], path: Path
) -> list[dict[str, Array]]:
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    there = {output.name for output in opened.graph.output}
    opened.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors if tensor not in there)
    weight_files.save(opened, path)
    try:
        loaded = runtime.load_onnx(path, threads=usable_cores())
    finally:
        path.unlink()
    return [dict(zip(loaded.signature.outputs, runtime.run(loaded, feed), strict=True)) for feed in feeds]


def _error(right: Sequence[Mapping[str, Array]], got: Sequence[Mapping[str, Array]], tensor: str) -> float:
    """Returns the error; infinite if the candidate's values are not finite, or have another shape."""
    signal = noise = 0.0
    for first, second in ((a[tensor], b[tensor]) for a, b in zip(right, got, strict=True)):
        if first.shape != second.shape or not np.isfinite(second).all():
            return float("inf")
        signal += float(np.square(first, dtype=np.float64).sum())
        noise += float(np.square(first.astype(np.float64) - second).sum())
    return float(np.sqrt(noise / signal)) if signal else float(np.sqrt(noise))
