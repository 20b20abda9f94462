"""ExportedPrograms: loaded without trust, turned into modules that train, and into ONNX.

A program keeps its layers as calls of functions on tensors. ``load`` turns them into layers again, so that they can be
trained, pruned and observed; ``save`` traces the result.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from edge_compressor.models import normal_form, weight_files
from edge_compressor.training import archive
from edge_compressor.training.layers import with_layers
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled

_ONE: Final = 1
OPSET = 18
"""The opset of the exported ONNX files: the exporter's own, from which it converts to others."""


@dataclass(frozen=True)
class OpenSize:
    """The size of an open dimension after the first; dimensions of one ``symbol`` have the same size."""

    symbol: str
    least: int | None
    """The smallest size that the program takes; None: any."""
    largest: int | None

    @property
    def is_plain(self) -> bool:
        """True for a symbol of its own; False for a sum or product of others."""
        return self.symbol.isidentifier()


@dataclass(frozen=True)
class ProgramInput:
    """An input of an exported program."""

    name: str
    shape: tuple[int, ...]
    """The shape; -1 is an open dimension."""
    dtype: torch.dtype
    open_sizes: Mapping[int, OpenSize] = field(default_factory=dict)
    """The sizes of its open dimensions after the first, by axis."""


@dataclass
class TrainableProgram:
    """A program that can be trained: ``module`` takes one tensor for each of ``inputs`` and returns a tuple of
    ``outputs`` tensors."""

    module: torch.fx.GraphModule
    inputs: tuple[ProgramInput, ...]
    outputs: int

    def example(self) -> tuple[Tensor, ...]:
        """Returns inputs of two samples, all zeros; other open dimensions have the size 2, too."""
        return tuple(
            torch.zeros([2 if size < 0 else size for size in one.shape], dtype=one.dtype) for one in self.inputs
        )

    @property
    def parameters(self) -> int:
        """The number of values in all parameters."""
        return sum(one.numel() for one in self.module.parameters())

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs in the exported model."""
        return ["output"] if self.outputs == 1 else [f"output_{number}" for number in range(self.outputs)]


def load(path: Path, *, what: str, reason: str) -> TrainableProgram:
    """Raises Stalled with ``reason``, naming ``what`` it is, for a file that is unsafe or cannot be read."""
    try:
        archive.check(path)
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = (
            "1"  # torch.export.load would unpickle what it cannot read otherwise
        )
        program = torch.export.load(path)
        archive.check_operators(program)
    except archive.Unsafe as error:
        raise Stalled(reason, f"{what}: {in_words(error)}") from error
    except Exception as error:  # torch raises anything for a damaged archive
        text = f"{in_words(error, 300)}"
        raise Stalled(reason, f"{what}: torch {torch.__version__} cannot load it ({text})") from error
    inputs = _inputs(program, what, reason)
    _check_weights(program, what, reason)
    module = with_layers(program.module(check_guards=False))
    return TrainableProgram(module, inputs, len(program.graph_signature.user_outputs))


def save(program: TrainableProgram, path: Path) -> Path:
    """Traces the module again in its inference mode. Raises what ``torch.export`` raises."""
    torch.export.save(_traced(program), path)
    return path


def to_onnx(program: Path, to: Path, *, what: str, reason: str) -> Path:
    """Returns the file ``program`` as ONNX. Raises Stalled with ``reason``, naming ``what`` it is."""
    loaded = load(program, what=what, reason=reason)
    names = [one.name for one in loaded.inputs]
    try:
        made = torch.onnx.export(
            _traced(loaded),
            dynamo=True,
            input_names=names,
            output_names=loaded.output_names,
            opset_version=OPSET,
            verbose=False,
        )
        assert made is not None
        made.save(str(to), external_data=_weight_bytes(loaded) > weight_files.MAX_INSIDE_BYTES)
    except Exception as error:  # the exporter raises anything for what it does not know
        text = f"{in_words(error, 300)}"
        raise Stalled(reason, f"{what}: it cannot be written as ONNX ({text})") from error
    _without_notes(to)
    return to


def _traced(program: TrainableProgram) -> ExportedProgram:
    program.module.eval()
    sizes = {size.symbol: size for one in program.inputs for size in one.open_sizes.values()}
    examples = dict(zip(sizes, map(_example_size, sizes.values(), count(3, 2)), strict=False))
    dims = {
        symbol: Dim(f"size_{number}", min=size.least, max=size.largest) if size.is_plain else Dim.AUTO
        for number, (symbol, size) in enumerate(sizes.items())
    }
    shapes = []
    inputs = []
    for one in program.inputs:
        shape = [2 if size < 0 else size for size in one.shape]
        axes: dict[int, Any] = {0: Dim("batch")} if one.shape and one.shape[0] < 0 else {}
        for axis, size in one.open_sizes.items():
            shape[axis], axes[axis] = examples[size.symbol], dims[size.symbol]
        inputs.append(torch.zeros(shape, dtype=one.dtype))
        shapes.append(axes or None)
    with torch.no_grad():
        return torch.export.export(program.module, tuple(inputs), dynamic_shapes=tuple(shapes))


def _example_size(size: OpenSize, wanted: int) -> int:
    """Returns a size that the dimension may have, near ``wanted``: sizes that are alike by chance would become one."""
    return min(max(wanted, size.least or 0), size.largest or wanted)


def _inputs(program: ExportedProgram, what: str, reason: str) -> tuple[ProgramInput, ...]:
    values: dict[str, Any] = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    inputs = []
    for name in program.graph_signature.user_inputs:
        value = values.get(str(name))
        if not isinstance(value, Tensor):
            raise Stalled(reason, f"{what}: input {name} is not a tensor; export a model that takes tensors only")
        shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
        open_sizes = {
            axis: _open_size(program, size) for axis, size in enumerate(value.shape) if shape[axis] < 0 < axis
        }
        inputs.append(ProgramInput(str(name), shape, value.dtype, open_sizes))
    return tuple(inputs)


def _open_size(program: ExportedProgram, size: Any) -> OpenSize:
    found = program.range_constraints.get(size.node.expr)
    least, largest = (int(end) if end is not None and end.is_Integer else None for end in _ends(found))
    return OpenSize(str(size.node.expr), least if least is None or least > _ONE else None, largest)


def _ends(found: Any) -> tuple[Any, Any]:
    return (None, None) if found is None else (found.lower, found.upper)


def _check_weights(program: ExportedProgram, what: str, reason: str) -> None:
    for name, value in program.state_dict.items():
        if value.is_floating_point() and (wrong := int((~torch.isfinite(value)).sum())):
            message = f"{wrong} of {value.numel()} values of the weight {name} are not finite numbers"
            raise Stalled(reason, f"{what}: {message}")


def _weight_bytes(program: TrainableProgram) -> int:
    return sum(value.numel() * value.element_size() for value in program.module.state_dict().values())


def _without_notes(path: Path) -> None:
    """Removes the exporter's notes on the origin of each node, which are up to a fifth of a small file."""

    model = normal_form.load_shapes(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, path)
