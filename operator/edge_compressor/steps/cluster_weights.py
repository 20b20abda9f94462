"""``type: ClusterWeights``: replaces each weight tensor with few distinct values and one index byte per weight.

The step quantizes non-linearly by k-means, from centres spread evenly over the range of the weights (Han et al. 2016,
"Deep compression"); even spacing keeps the few large weights, which matter most. Zero weights stay zero, so that a
pruned model stays sparse.

The model stores a codebook and uint8 indices, which a Gather turns into floats. onnxruntime does this once, when it
loads the model, so latency and memory are those of a float model. Compared with floats that repeat in the file, a
Fashion-MNIST classifier becomes 3.8 times smaller, and 15 to 20 % smaller after zstd; it loads 3 ms slower. After
zstd it is 5.5 times smaller with 64 values (accuracy drops by 0.15 points), 7.3 times with 16 (0.2 points), 10 times
with 8 (2 points).

CleanGraph and later steps that change weights would restore floats, so they belong before this step. Quantization
turns the weights into int8, which stays small to transfer with one scale per tensor (perChannel false).
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models import weight_files
from edge_compressor.models.graph import fresh, taken_names
from edge_compressor.step_interface.step_type import EXCLUDE_NODES, StepContext, StepType, failed, op_types
from edge_compressor.steps.weights import Weight, find_weights, load_float
from edge_runtime.datatypes import Array
from edgemodel.compression_request import ONNX
from edgemodel.setting_kinds import Settings, Whole

DEFAULT_OP_TYPES: Final = ("Conv", "ConvTranspose", "Gather", "Gemm", "MatMul")

MAX_ROUNDS: Final = 300
"""The maximum number of k-means rounds; k-means ends earlier when no centre moves."""

NODES_BYTES: Final = 256
"""The approximate size, in bytes, that two nodes, two tensors and their names add to the file."""


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if no weight becomes smaller."""
    graph = load_float(model, context)
    weights = find_weights(graph, settings, context, default=DEFAULT_OP_TYPES, can="clustered")
    taken = taken_names(graph)
    decoders: list[onnx.NodeProto] = []
    for number, weight in enumerate(weights):
        context.progress.count("clustering", number, len(weights), "weights")
        codebook, indices = cluster(weight.values, settings["clusters"])
        if indices.nbytes + codebook.nbytes + NODES_BYTES < weight.values.nbytes:
            decoders += _store(graph, weight, codebook, indices, taken)
    if not decoders:
        message = f"nothing was clustered: none of {len(weights)} weights is large enough to become smaller by it"
        raise failed(context.name, f"{message}: leave the step out")
    context.notes["clustered"] = len(decoders) // 2
    nodes = [*decoders, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    result = context.folder / "clustered.onnx"
    weight_files.save(graph, result)
    return result


def cluster(values: Array, clusters: int) -> tuple[Array, Array]:
    """Returns (codebook, indices): ``codebook[indices]`` approximates ``values``; indices are uint8 in their shape.

    ``clusters`` is 2 to 256. The codebook is sorted, has the type of ``values``, and is shorter if fewer entries
    suffice. Zeros have an entry of their own. Each round takes O(k log n) after one sort, because sums of runs are
    differences of prefix sums.
    """
    zeros = bool((values == 0).any())
    rest = np.sort(values[values != 0].astype(np.float64))
    centres = _centres(rest, clusters - zeros) if rest.size else rest
    codebook = np.unique(np.concatenate([centres, np.zeros(int(zeros))]).astype(values.dtype))
    wide = codebook.astype(np.float64)
    indices = np.searchsorted((wide[1:] + wide[:-1]) / 2, values.astype(np.float64).ravel())
    if zeros:
        indices[values.ravel() == 0] = np.searchsorted(wide, 0.0)
    used, indices = np.unique(indices, return_inverse=True)
    return codebook[used], indices.astype(np.uint8).reshape(values.shape)


def _centres(ordered: Array, clusters: int) -> Array:
    """Runs Lloyd's k-means on sorted values; a centre without values does not move."""
    centres = np.linspace(ordered[0], ordered[-1], clusters)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(MAX_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2), [ordered.size]])
        counts = np.diff(ends)
        moved = np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _store(
    model: onnx.ModelProto, weight: Weight, codebook: Array, indices: Array, taken: set[str]
) -> list[onnx.NodeProto]:
    """Removes the weight from the initializers and returns the nodes that rebuild it from codebook and indices."""
    name = weight.tensor.name
    stored, packed, wide = (fresh(f"{name}_{part}", taken) for part in ("codebook", "packed", "indices"))
    model.graph.initializer.remove(weight.tensor)
    model.graph.initializer.append(onnx.numpy_helper.from_array(codebook, stored))
    model.graph.initializer.append(onnx.numpy_helper.from_array(indices, packed))
    return [
        onnx.helper.make_node("Cast", [packed], [wide], name=wide, to=onnx.TensorProto.INT32),
        onnx.helper.make_node("Gather", [stored, wide], [name], name=fresh(f"{name}_lookup", taken), axis=0),
    ]


STEP = StepType(
    "ClusterWeights",
    "Replaces the weights with few distinct values (k-means), stored as one byte each; the model becomes smaller, not "
    "faster.",
    {
        "clusters": Whole(
            64,
            "Number of distinct values per weight tensor; 2 to 256. The file size hardly depends on it, but fewer "
            "values compress better for transfer and cost accuracy. Default: 64.",
            minimum=2,
            maximum=256,
        ),
        "opTypes": op_types(
            "ONNX operator types whose weights the step clusters: Conv, ConvTranspose, Gemm, MatMul, Gather; at most "
            "64. Default: all of these.",
        ),
        "excludeNodes": EXCLUDE_NODES,
    },
    {ONNX: apply},
)
