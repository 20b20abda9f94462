"""ONNX models whose weights lie in files of their own, beside the graph: read without them, and written.

A graph has at most 2 GiB, and weights in files are mapped into memory rather than copied. So every model with more than
MAX_INSIDE_BYTES of weights is written with a file of them, one tensor at a time; smaller ones stay one file until they
are published.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

import numpy as np
import onnx
from onnx import numpy_helper

from edge_runtime.datatypes import Array
from edgemodel.whole_number import whole_number

MAX_INSIDE_BYTES: Final = 10**9
"""The largest sum of weights that are written into the graph's own file, in bytes."""
MIN_OWN_FILE_BYTES: Final = 4 << 20
"""The smallest file that an artifact has in a layer of its own, in bytes. A model of this size is published with its
weights in such a file, so that nodes can map them and share them between images."""
SMALL_BYTES: Final = 1 << 16
"""The largest size of a weight that ``load_graph`` reads: shapes and other constants that decide what a graph means."""
PAGE_BYTES: Final = 4096
"""The boundary on which each weight begins in its file, so that it can be mapped."""
_MIN_OUTSIDE_BYTES: Final = 1024
_CHUNK_BYTES: Final = 1 << 24
_BITS: Final = {
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.INT4: 4,
    onnx.TensorProto.FLOAT4E2M1: 4,
}
"""The bits of a value whose type is smaller than a byte."""


def load_graph(path: Path) -> onnx.ModelProto:
    """Returns the model at ``path`` without the large weights of other files, which it still refers to."""
    model = onnx.load(path, load_external_data=False)
    for tensor in stored_tensors(model):
        if is_outside(tensor) and size_bytes(tensor) <= SMALL_BYTES:
            bring_inside(tensor, path.parent)
    return model


def save(
    model: onnx.ModelProto, path: Path, *, folder: Path | None = None, max_inside_bytes: int | None = None
) -> None:
    """Writes the model to ``path``, and weights to ``<path>.data`` if they are more than ``max_inside_bytes``, None:
    MAX_INSIDE_BYTES.

    ``model`` may refer to weights in files of ``folder``, which are copied; it refers to the written file afterwards.
    """
    weights = list(stored_tensors(model))
    limit = MAX_INSIDE_BYTES if max_inside_bytes is None else max_inside_bytes
    if not any(map(is_outside, weights)) and sum(map(size_bytes, weights)) <= limit:
        onnx.save(model, path)
        return
    name = f"{path.name}.data"
    with (path.with_name(name)).open("wb") as data:
        for tensor in weights:
            if is_outside(tensor) or size_bytes(tensor) >= _MIN_OUTSIDE_BYTES:
                _put_outside(tensor, data, name, folder)
    onnx.save(model, path)


def has_outside(model: onnx.ModelProto) -> bool:
    """Returns whether weights of the model lie in other files."""
    return any(map(is_outside, stored_tensors(model)))


def values_of(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Returns the values of a weight, which are not to be changed; those in a file of ``folder`` are mapped, not
    read."""
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if not is_outside(tensor) or tensor.data_type in _BITS or dtype.kind not in "fiub" or not all(tensor.dims):
        return np.asarray(numpy_helper.to_array(read(tensor, folder)))
    name, offset, _ = location(tensor)
    return np.memmap(folder / name, dtype, "r", offset or 0, tuple(tensor.dims))


def read(tensor: onnx.TensorProto, folder: Path) -> onnx.TensorProto:
    """Returns the weight with its values, which may lie in a file of ``folder``; it is the tensor itself if not."""
    if not is_outside(tensor):
        return tensor
    whole = onnx.TensorProto()
    whole.CopyFrom(tensor)
    bring_inside(whole, folder)
    return whole


def bring_inside(tensor: onnx.TensorProto, folder: Path) -> None:
    """Reads the values of a weight from its file in ``folder``, so that they lie in the graph."""
    name, offset, length = location(tensor)
    with (folder / name).open("rb") as file:
        file.seek(offset or 0)
        values = file.read(length or 0)
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.DEFAULT
    tensor.raw_data = values


def unread_bytes(path: Path) -> dict[str, int]:
    """Returns by name how many bytes of each file of weights belong to no weight of the checked graph at ``path``."""
    parts: dict[str, set[tuple[int, int]]] = {}
    for tensor in filter(is_outside, stored_tensors(onnx.load(path, load_external_data=False))):
        name, offset, length = location(tensor)
        parts.setdefault(name, set()).add((offset or 0, length or 0))
    return {
        name: (path.parent / name).stat().st_size - sum(length for _, length in found) for name, found in parts.items()
    }


def place_beside(names: Iterable[str], folder: Path, to: Path) -> None:
    """Makes the files ``names`` of ``folder`` appear in the folder ``to``, as links to the same bytes if possible."""
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(folder / name, to / name)


def link_or_copy(file: Path, to: Path) -> None:
    """Makes the bytes of ``file`` appear at ``to``, without a copy where the file system can."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def is_outside(tensor: onnx.TensorProto) -> bool:
    """Returns whether the values of ``tensor`` lie in another file."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def location(tensor: onnx.TensorProto) -> tuple[str, int | None, int | None]:
    """Returns the file's name, the offset and the length in bytes of a weight in another file.

    A number is None if it is not one; a length that is left out is that of the weight.
    """
    said = {entry.key: entry.value for entry in tensor.external_data}
    length = whole_number(said["length"]) if "length" in said else size_bytes(tensor)
    return said.get("location", ""), whole_number(said.get("offset", "0")), length


def size_bytes(tensor: onnx.TensorProto) -> int:
    """Returns the size of a weight's values in bytes, from its shape and type; 0 for texts."""
    if tensor.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        return 0
    values = 1
    for size in tensor.dims:
        values *= size
    bits = _BITS.get(tensor.data_type) or 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(-(-values * bits // 8))


def stored_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yields initializers and tensor attributes, including those of subgraphs and functions."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in (
            *attribute.sparse_tensors,
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else ()),
        ):
            yield from (sparse.values, sparse.indices)
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            yield from _graph_tensors(graph)


def _put_outside(tensor: onnx.TensorProto, data: IO[bytes], name: str, folder: Path | None) -> None:
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    data.seek(-data.tell() % PAGE_BYTES, os.SEEK_CUR)
    offset = data.tell()
    if is_outside(tensor):
        assert folder is not None, "the folder of the weights"
        _copy_part(tensor, folder, data)
    else:
        raw = tensor.raw_data or numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
        data.write(raw)
    end = data.tell()
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data"):
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", name), ("offset", offset), ("length", end - offset)):
        tensor.external_data.add(key=key, value=str(value))


def _copy_part(tensor: onnx.TensorProto, folder: Path, data: IO[bytes]) -> None:
    name, offset, left = location(tensor)
    with (folder / name).open("rb") as file:
        file.seek(offset or 0)
        while chunk := file.read(min(_CHUNK_BYTES, left or 0)):
            data.write(chunk)
            left = (left or 0) - len(chunk)
