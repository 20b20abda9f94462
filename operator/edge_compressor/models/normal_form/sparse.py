"""Weights that are stored as sparse tensors."""

import math

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.normal_form.refusal import counted
from edge_compressor.models.onnx_model import MAX_BYTES
from edge_compressor.models.weight_files import is_outside
from edge_runtime.datatypes import Array


def make_dense(model: onnx.ModelProto) -> list[str]:
    """Makes sparse weights of the main graph dense, since steps ignore others. Zeros take few bytes once compressed.

    A weight that would exceed the limit of a file stays as it is.
    """
    graph, made = model.graph, 0
    for sparse in list(graph.sparse_initializer):
        if (values := dense(sparse)) is not None:
            graph.initializer.append(onnx.numpy_helper.from_array(values, sparse.values.name))
            graph.sparse_initializer.remove(sparse)
            made += 1
    return [f"{counted(made, 'sparse weight')} became dense"] if made else []


def dense(sparse: onnx.SparseTensorProto) -> Array | None:
    """Returns the tensor with its zeros; None if it would be too large, or lies in another file."""
    if is_outside(sparse.values) or is_outside(sparse.indices):
        return None
    values = np.asarray(onnx.numpy_helper.to_array(sparse.values))
    shape = tuple(int(size) for size in sparse.dims)
    if math.prod(shape) * values.itemsize > MAX_BYTES:
        return None
    indices = np.asarray(onnx.numpy_helper.to_array(sparse.indices))
    made = np.zeros(shape, values.dtype)
    if indices.ndim == 1:
        made.ravel()[indices] = values
    else:
        made[tuple(indices.T)] = values
    return made
