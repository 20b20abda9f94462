"""Runs models through ``edge_runtime``, as nodes do and with the same options.

Only here is decided how a model is opened, and with that how much memory it takes. Of a model of LARGE_BYTES or more,
the weights stay in their files where only its answers are wanted, and the compressor holds one session at a time where
speed is measured.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_compressor.models.model_file import ModelFile
from edge_runtime.backend import LoadedModel
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import DATATYPES, Array, as_numbers
from edge_runtime.loading import load_model
from edge_runtime.processor import read_processor
from edge_runtime.tuning import Tuning
from edge_runtime.weight_files import has_operator
from edgemodel.artifact import ONNX_RUNTIME, Tensor

LARGE_BYTES: Final = 10**8
"""The size from which a model is large, in bytes. Two smaller ones fit beside each other in any Job."""
_OWN_LAYOUT: Final = "MatMulNBits"
"""The operator that computes in another way, and several times slower, where its weights are not rearranged."""


def is_large(model: ModelFile) -> bool:
    """Returns whether the compressor holds ``model`` alone, and its weights in their files where it can."""
    return model.size_bytes >= LARGE_BYTES


def load(model: ModelFile, *, threads: int | None = None) -> LoadedModel:
    """Returns ``model`` loaded for its answers, which are those that nodes give but for rounding. Raises LoadFailure.

    Weights of a large model are mapped and not rearranged: it takes little memory, and is somewhat slower. ``threads``
    are those of one run; None: as many as on nodes.
    """
    tuning = _tuning(model, threads)
    if tuning.mapped is None and is_large(model) and not has_operator(model.path, _OWN_LAYOUT):
        tuning = replace(tuning, mapped=True)
    return load_model(model.path, model.runtime, tuning, model.transforms)


def load_as_served(model: ModelFile, *, threads: int | None = None) -> LoadedModel:
    """Returns ``model`` loaded as nodes load it, for its speed; ``threads`` as ``load``. Raises LoadFailure."""
    return load_model(model.path, model.runtime, _tuning(model, threads), model.transforms)


def _tuning(model: ModelFile, threads: int | None) -> Tuning:
    return model.tuning if threads is None else replace(model.tuning, intra_op_threads=threads)


def load_onnx(path: Path, *, threads: int = 1, mapped: bool | None = None) -> LoadedModel:
    """Returns the ONNX file at ``path`` loaded, unchecked, ``mapped`` as ``Tuning`` says. Raises LoadFailure."""
    return load_model(path, ONNX_RUNTIME, Tuning(intra_op_threads=threads, mapped=mapped))


def run(model: LoadedModel, feeds: Mapping[str, Array]) -> list[Array]:
    """Returns all outputs, in declared order, as they are served. Raises RunFailure."""
    return [np.asarray(output) for output in model.run(feeds, list(model.signature.outputs))]


def numbers(model: LoadedModel, outputs: list[Array]) -> list[Array]:
    """Returns all ``outputs`` of ``model`` as comparable numbers; those of BF16 are bit patterns before."""
    declared = model.signature.outputs.values()
    return [as_numbers(tensor.datatype, output) for tensor, output in zip(declared, outputs, strict=True)]


def dtype_of(tensor: Tensor) -> np.dtype[Any]:
    """Returns the numpy type of ``tensor`` in a data set, in which texts are not Python objects."""
    return np.dtype(np.str_) if tensor.datatype == "BYTES" else DATATYPES[tensor.datatype].numpy


def hardware() -> dict[str, Any]:
    """Describes this machine for the manifest."""
    processor = read_processor()
    return {
        "processor": processor.name or "unknown",
        "architecture": processor.architecture,
        "instructionSets": list(processor.instruction_sets),
        "availableThreads": usable_cores(),
    }
