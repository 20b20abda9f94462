"""Checks that an ONNX file can be compressed and served. Nothing of it is executed before it has passed.

The order matters: size, then structure (operator domains, weights in other files), then onnx's checker, and only then
onnxruntime, which therefore never sees an operator outside the standard domains.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, TypedDict, TypeVar

import onnx
from google.protobuf.message import DecodeError

from edge_compressor.models import first_run, runtime, weight_files
from edge_compressor.models.checker import complaint
from edge_compressor.models.class_names import named_classes
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.weight_files import (
    MAX_INSIDE_BYTES,
    MIN_OWN_FILE_BYTES,
    is_outside,
    location,
    size_bytes,
    stored_tensors,
)
from edge_runtime import backends
from edge_runtime.backend import LoadFailure
from edge_runtime.decoder import open_cache
from edge_runtime.signature import signature_of
from edge_runtime.transform import outer_signature
from edge_runtime.transforms import make_transform
from edgemodel import reasons
from edgemodel.artifact import ONNX_RUNTIME, ArtifactFile, Tensor, TransformSpec, digest_of_model
from edgemodel.digest import Digest, digest_of_file
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.names import MODEL_FILE
from edgemodel.relative_name import check_name

MAX_BYTES: Final = 2**31 - 1
"""The limit of protobuf, and so of an ONNX graph with the weights inside its file."""

DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


_WHOLE: Final = (
    "give the folder that holds both, or save the model as one file (onnx.save_model(..., save_as_external_data=False))"
)


class OnnxModel(ModelFile):
    """A checked ONNX file."""


M = TypeVar("M", bound=ModelFile)


def check_model(
    path: Path, *, what: str = "source", reason: str = reasons.SOURCE_INVALID, like: ModelFile | None = None
) -> OnnxModel:
    """Raises Stalled with ``reason``, naming ``what`` it is, unless every check of this module passes.

    ``like`` is a model whose transforms and tuning this one gets; None: it gets none.
    """
    try:
        model = _checked(path, reason)
        return model if like is None else behind_transforms(replace(model, tuning=like.tuning), like.transforms)
    except _Unsound as error:
        raise Stalled(reason, f"{what}: {error}") from error


def behind_transforms(model: M, transforms: tuple[TransformSpec, ...]) -> M:
    """Returns ``model`` as callers see it through ``transforms``, the outermost first.

    Raises Stalled(InvalidSpec) if they do not fit it.
    """
    if not transforms:
        return model
    try:
        signature = outer_signature(
            signature_of(model.inputs, model.outputs), [make_transform(spec) for spec in transforms]
        )
    except (LoadFailure, ValueError, KeyError) as error:
        raise Stalled(reasons.INVALID_SPEC, f"the model's transforms do not fit it: {in_words(error)}") from error
    inputs, outputs = tuple(signature.inputs.values()), tuple(signature.outputs.values())
    return replace(model, inputs=inputs, outputs=outputs, transforms=transforms)


def check_structure(path: Path, *, what: str, reason: str, beside: Path | None = None) -> tuple[str, ...]:
    """Returns the names of the files of weights, after all checks that need no loading; they lie in ``beside``.

    Raises Stalled with ``reason``, naming ``what`` it is.
    """
    try:
        _check_size(path)
        return tuple(_check_structure(_load(path), beside))
    except _Unsound as error:
        raise Stalled(reason, f"{what}: {error}") from error


class _Unsound(Exception):
    """The file is invalid; the text says why."""


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_BYTES:
        message = (
            f"{size} bytes, and an ONNX file has at most {MAX_BYTES}: export it with its weights in another file "
            "(external data), and give the folder"
        )
        raise _Unsound(message)


def _checked(path: Path, reason: str) -> OnnxModel:
    _check_size(path)
    loaded = _load(path)
    outside = _check_structure(loaded, path.parent)
    class_names = named_classes(loaded)
    del loaded  # the checker reads the file again, so that it is not in memory both as objects and as bytes
    if said := complaint(path):
        raise _Unsound(f"onnx.checker refuses it: {said}")
    mapped = True if sum(outside.values()) > MAX_INSIDE_BYTES else None
    if crash := first_run.why_it_crashes(path, ONNX_RUNTIME, mapped=mapped):
        raise _Unsound(f"{crash}: {first_run.cure(reason)}")
    try:
        signature = runtime.load_onnx(path, mapped=True).signature  # it is not run, so that no layout matters
    except LoadFailure as failure:
        version = backends.find(ONNX_RUNTIME).version
        raise _Unsound(f"onnxruntime {version} cannot load it: {in_words(failure)}") from failure
    inputs, outputs = tuple(signature.inputs.values()), tuple(signature.outputs.values())
    if not outputs:
        raise _Unsound("it has no outputs")
    if (tensor := open_cache(inputs)) is not None:
        message = f"the cache {tensor.name} has shape {list(tensor.shape)}, and heads and their size have to be fixed"
        raise _Unsound(f"{message}: export it with these sizes")
    return OnnxModel(path, inputs=inputs, outputs=outputs, class_names=class_names, **_files_of(path, outside))


class _Files(TypedDict):
    """The part of ``ModelFile`` that the files of a model say."""

    digest: Digest
    size_bytes: int
    files: Mapping[str, ArtifactFile]


def _files_of(path: Path, outside: Mapping[str, int]) -> _Files:
    """Returns the digests of the graph at ``path`` and of the files ``outside`` it, whose sizes are given."""
    files = {MODEL_FILE: ArtifactFile(digest_of_file(path), path.stat().st_size)}
    files |= {name: ArtifactFile(digest_of_file(path.parent / name), size) for name, size in outside.items()}
    total = sum(file.size_bytes for file in files.values())
    return _Files(digest=digest_of_model(files), size_bytes=total, files=files)


def with_weights_outside(model: ModelFile, folder: Path) -> ModelFile:
    """Returns the checked model with its weights in a file of their own, written to ``folder``, which nodes can map.

    It is ``model`` itself if its weights are so already, if it is small, or no ONNX file.
    """
    if model.runtime != ONNX_RUNTIME or model.weight_files or model.size_bytes < MIN_OWN_FILE_BYTES:
        return model
    folder.mkdir()
    path = folder / MODEL_FILE
    weight_files.save(onnx.load(model.path), path, max_inside_bytes=0)
    outside = _check_outside([tensor for tensor in stored_tensors(_load(path)) if is_outside(tensor)], folder)
    return replace(model, path=path, **_files_of(path, outside))


def check_same_interface(source: ModelFile, artifact: ModelFile) -> None:
    """Checks that the interface is unchanged: a step may change everything but what callers see. Raises
    Stalled(StepFailed)."""
    if source.inputs != artifact.inputs:
        change = f"from {_listed(source.inputs)} to {_listed(artifact.inputs)}"
        raise Stalled(reasons.STEP_FAILED, f"the steps changed the model's inputs {change}")
    # Shapes of outputs may be known better after a step than before.
    names = [[(tensor.name, tensor.datatype) for tensor in model.outputs] for model in (source, artifact)]
    if names[0] != names[1]:
        change = f"from {_listed(source.outputs)} to {_listed(artifact.outputs)}"
        raise Stalled(reasons.STEP_FAILED, f"the steps changed the model's outputs {change}")


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields every node, including those of subgraphs (If, Loop, Scan)."""
    for node in graph.node:
        yield node
        for subgraph in subgraphs(node):
            yield from nodes(subgraph)


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise _Unsound("not an ONNX file: it does not parse") from error
    if not model.opset_import or not model.graph.node:
        raise _Unsound("not an ONNX file: it has no graph")
    return model


def _check_structure(model: onnx.ModelProto, beside: Path | None) -> dict[str, int]:
    """Returns the size of each file of weights in the folder ``beside``, by its name. Raises _Unsound."""
    own = {function.domain for function in model.functions}
    bodies = [node for function in model.functions for node in _function_nodes(function)]
    for node in [*nodes(model.graph), *bodies]:
        if node.domain not in DOMAINS | own:
            message = (
                f"operator {node.op_type} is of domain {node.domain!r}, which needs a custom library; "
                f"standard are {', '.join(sorted(DOMAINS - {''}))}"
            )
            raise _Unsound(message)
    return _check_outside([tensor for tensor in stored_tensors(model) if is_outside(tensor)], beside)


def _check_outside(outside: Sequence[onnx.TensorProto], beside: Path | None) -> dict[str, int]:
    """Returns the size of each file of weights by its name. Raises _Unsound unless every weight lies within one.

    Two weights may be the same bytes, as tied ones are; they may not overlap otherwise.
    """
    parts: dict[str, list[tuple[int, int, str]]] = {}
    for tensor in outside:
        name, begin, length = location(tensor)
        if beside is None:
            raise _Unsound(f"the weight {tensor.name!r} is kept in another file, {name!r}: {_WHOLE}")
        size = _size_within(beside, name, tensor.name)
        if begin is None or length is None or begin + length > size:
            raise _Unsound(f"the weight {tensor.name!r} lies beyond the {size} bytes of {name!r}")
        if length != (wanted := size_bytes(tensor)):
            kind = onnx.TensorProto.DataType.Name(tensor.data_type)
            message = f"{kind} of shape {list(tensor.dims)} takes {wanted} bytes, and {name!r} has {length} for it"
            raise _Unsound(f"the weight {tensor.name!r}: {message}")
        parts.setdefault(name, []).append((begin, begin + length, tensor.name))
    for name, found in parts.items():
        ordered = sorted(found)
        for (begin, end, first), (following, last, second) in pairwise(ordered):
            if following < end and (begin, end) != (following, last):
                raise _Unsound(f"the weights {first!r} and {second!r} overlap in {name!r}")
    return {name: _size_within(beside, name, name) for name in parts} if beside else {}


def _size_within(folder: Path, name: str, tensor: str) -> int:
    """Returns the size of a regular file of the folder, in bytes. Raises _Unsound for any other name."""
    try:
        check_name(name.removeprefix("./"))
        status = os.lstat(folder / name)
    except (OSError, ValueError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise _Unsound(f"the weight {tensor!r} is kept in {name!r}, which is not a file of the folder: {_WHOLE}")
    return status.st_size


def _function_nodes(function: onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    for node in function.node:
        yield node
        for subgraph in subgraphs(node):
            yield from nodes(subgraph)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yields the bodies of If, Loop and Scan; none for other nodes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _listed(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{tensor.name} {tensor.datatype} {list(tensor.shape)}" for tensor in tensors)
