"""Runs models through ``edge_runtime``, as nodes do and with the same options."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_compressor.models.model_file import ModelFile
from edge_runtime.backend import LoadedModel
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import DATATYPES, Array, as_numbers
from edge_runtime.loading import load_model
from edge_runtime.processor import read_processor
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ONNX_RUNTIME, Tensor


def load(model: ModelFile, *, threads: int | None = None) -> LoadedModel:
    """Returns ``model`` loaded as nodes load it. Raises LoadFailure.

    ``threads`` are those of one run; None: as many as on nodes.
    """
    tuning = model.tuning if threads is None else replace(model.tuning, intra_op_threads=threads)
    return load_model(model.path, model.runtime, tuning, model.transforms)


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
