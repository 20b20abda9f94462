"""The normal form of ONNX graphs, in which all steps work, whatever exporter wrote them.

``put_in_order`` normalizes a source once, after its digest is taken, and lists the changes; ``load`` does the same for
the results of steps, which are mostly in normal form already. A pass is one function in a file of its own and one line
in PASSES, or in FLOAT32_PASSES if only quantizers need it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from edge_compressor.models import weight_files
from edge_compressor.models.normal_form.caches import fix_caches
from edge_compressor.models.normal_form.constants import store_constants
from edge_compressor.models.normal_form.declared_weights import undeclare_weights
from edge_compressor.models.normal_form.domains import drop_unused_domains, order_domains
from edge_compressor.models.normal_form.factors import fold_factors
from edge_compressor.models.normal_form.far_constants import bring_constants_near
from edge_compressor.models.normal_form.float32 import widen_or_narrow
from edge_compressor.models.normal_form.functions import inline_functions
from edge_compressor.models.normal_form.gemm import order_operands
from edge_compressor.models.normal_form.ir_version import set_ir_version
from edge_compressor.models.normal_form.maps import cut_off_maps
from edge_compressor.models.normal_form.names import name_nodes
from edge_compressor.models.normal_form.old_opsets import convert_old_opset
from edge_compressor.models.normal_form.order import sort_nodes
from edge_compressor.models.normal_form.outputs import separate_outputs
from edge_compressor.models.normal_form.padded_pools import fold_paddings
from edge_compressor.models.normal_form.paddings import pad_all_axes
from edge_compressor.models.normal_form.products import make_matrices
from edge_compressor.models.normal_form.refusal import OutOfOrder
from edge_compressor.models.normal_form.shapes import declare_shapes, drop_wrong_shapes
from edge_compressor.models.normal_form.sparse import make_dense
from edge_compressor.models.normal_form.stored import lay_weights_open
from edge_compressor.models.normal_form.suffixes import free_suffixes
from edge_compressor.models.normal_form.tied import untie_weights
from edge_compressor.models.onnx_model import MAX_BYTES
from edgemodel import reasons
from edgemodel.errors import Stalled

Pass = Callable[[onnx.ModelProto], list[str]]
"""A function that edits a model in place, without a change to its answers, and returns a sentence for each change that
a user should know. It raises OutOfOrder for what it cannot normalize."""

PASSES: Final[tuple[Pass, ...]] = (
    cut_off_maps,
    order_domains,
    set_ir_version,
    convert_old_opset,
    inline_functions,
    drop_unused_domains,
    sort_nodes,
    name_nodes,
    make_dense,
    store_constants,
    undeclare_weights,
    declare_shapes,
    fix_caches,
)
"""The passes over every graph that is loaded, in this order."""

FLOAT32_PASSES: Final[tuple[Pass, ...]] = (
    lay_weights_open,
    widen_or_narrow,
    bring_constants_near,
    fold_factors,
    order_operands,
    make_matrices,
    pad_all_axes,
    fold_paddings,
    untie_weights,
    separate_outputs,
    free_suffixes,
    drop_wrong_shapes,
)
"""Further passes, for quantizers: weights are float32 tensors of the graph, and products have no factors."""


@dataclass(frozen=True)
class InOrder:
    """A model in its normal form."""

    path: Path
    """The file as given, if nothing had to change in it."""
    changes: tuple[str, ...]


def put_in_order(path: Path, folder: Path, *, what: str, reason: str) -> InOrder:
    """Returns the model at ``path`` in its normal form, in a new file if something had to change.

    That file is in ``folder``, or beside the files of its weights if it has any.

    Raises Stalled with ``reason``, naming ``what`` it is, for what cannot be normalized.
    """
    model = weight_files.load_graph(path)
    try:
        changes = _run(PASSES, model)
    except OutOfOrder as error:
        raise Stalled(reason, f"{what}: {error}") from error
    if not changes:
        return InOrder(path, ())
    if any(map(weight_files.is_outside, weight_files.stored_tensors(model))):
        folder = path.parent  # where its weights are
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "in-order.onnx")
    return InOrder(folder / "in-order.onnx", tuple(changes))


def sort_file(path: Path) -> Path:
    """Sorts the nodes of the model at ``path`` in place, and adds missing operator sets, because quantizers ignore what
    bodies of If, Loop and Scan read and use."""
    model = weight_files.load_graph(path)
    if sort_nodes(model) + order_domains(model):
        onnx.save(model, path)
    return path


def load(path: Path) -> onnx.ModelProto:
    """Returns the model at ``path`` in its normal form, which answers as the file does, with all weights in memory.

    Raises Stalled(StepFailed) for what cannot be put in order, and for more weights than one model in memory may have.
    """
    model = weight_files.load_graph(path)
    bring_inside(model, path.parent)
    _run_or_fail(PASSES, model)
    return model


def bring_inside(model: onnx.ModelProto, folder: Path) -> None:
    """Reads all weights that lie in files of ``folder``. Raises Stalled(StepFailed) for more than one model in memory
    may have."""
    outside = [one for one in weight_files.stored_tensors(model) if weight_files.is_outside(one)]
    size = sum(map(weight_files.size_bytes, weight_files.stored_tensors(model)))
    if outside and size > MAX_BYTES:
        message = f"the model has {size} bytes of weights, and this step takes at most {MAX_BYTES} bytes"
        raise Stalled(reasons.STEP_FAILED, f"{message}: leave it out")
    for tensor in outside:
        weight_files.bring_inside(tensor, folder)


def load_shapes(path: Path, *, with_weights: bool = False) -> onnx.ModelProto:
    """Returns the model in its normal form for those who read shapes and small constants: large weights in other files
    stay there.

    ``with_weights``: weights inside the file are as ``load_with_weights`` returns them. Raises as ``load``.
    """
    model = weight_files.load_graph(path)
    _run_or_fail(PASSES, model)
    if with_weights and not any(map(weight_files.is_outside, weight_files.stored_tensors(model))):
        _run_or_fail((lay_weights_open,), model)
    return model


def load_with_weights(path: Path, *, outside: bool = False) -> onnx.ModelProto:
    """Returns the model as ``load`` does, with all stored weights as the tensors that its nodes read.

    ``outside``: large weights in other files stay there, so that the model may have any size.
    """
    model = load_shapes(path) if outside else load(path)
    try:
        lay_weights_open(model, path.parent)
    except OutOfOrder as error:
        raise Stalled(reasons.STEP_FAILED, str(error)) from error
    return model


def load_float32(path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """Returns the model in the form that quantizers need, and a sentence for each change that only they needed.

    Inputs and outputs keep their types. Raises Stalled(StepFailed) for what cannot be normalized.
    """
    model = load(path)
    return model, _run_or_fail(FLOAT32_PASSES, model)


def _run(passes: Iterable[Pass], model: onnx.ModelProto) -> list[str]:
    return [change for one in passes for change in one(model)]


def _run_or_fail(passes: Iterable[Pass], model: onnx.ModelProto) -> list[str]:
    try:
        return _run(passes, model)
    except OutOfOrder as error:
        raise Stalled(reasons.STEP_FAILED, str(error)) from error
