"""``type: PruneWeights``: sets the weights of smallest magnitude to zero, at once or during training.

The step reduces the transfer size, not the latency: the file contains the zeros, which zstd compresses, and the
runtime multiplies them like other numbers. Han et al. 2015, "Learning both weights and connections for efficient
neural networks", use magnitude as the measure. Zhu and Gupta 2017, "To prune, or not to prune", show that a large
sparse network beats a small dense one of the same size; with ``epochs`` the step follows their schedule: the share of
zeros rises during training, ``s(t) = s_f + (s_i - s_f) (1 - t/T)^3``, where T is RISING of the training, and the rest
of the training recovers accuracy.

Without epochs nothing is trained, since an ONNX file does not allow it, so fewer weights can be removed. For a
Fashion-MNIST classifier, 30 % costs 0.3 points of accuracy and makes the transfer 1.3 times smaller; 50 % costs 1.9.

The step belongs before quantization, which keeps zeros, as do all later training steps.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from edge_compressor.models import weight_files
from edge_compressor.models.magnitudes import share_out, smallest
from edge_compressor.step_interface.step_type import EXCLUDE_NODES, StepContext, StepType, failed, op_types
from edge_compressor.steps.training_settings import training_settings
from edge_compressor.steps.weights import find_weights, load_float
from edgemodel.compression_request import EXPORTED_PROGRAM, ONNX
from edgemodel.setting_kinds import Choice, Settings, Whole

DEFAULT_OP_TYPES: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if there is nothing to prune, or the model is already as sparse."""
    graph = load_float(model, context)
    weights = find_weights(graph, settings, context, default=DEFAULT_OP_TYPES, can="pruned")
    sizes = [np.abs(weight.values.astype(np.float32)) for weight in weights]
    counts = share_out(sizes, settings["sparsityPercent"], together=settings["scope"] == "Global")
    before = sum(int((size == 0).sum()) for size in sizes)
    for weight, magnitudes, count in zip(weights, sizes, counts, strict=True):
        weight.replace(np.where(smallest(magnitudes, count), weight.values.dtype.type(0), weight.values))
    total = sum(size.size for size in sizes)
    zeros = sum(int((weight.values == 0).sum()) for weight in weights)
    if zeros == before:
        message = f"nothing was pruned: {_percent(before, total)} % of {total} weights are zero already"
        raise failed(context.name, f"{message}, and sparsityPercent is {settings['sparsityPercent']}: ask for more")
    context.notes["zeros"] = {"weights": total, "before": before, "after": zeros}
    context.progress.say(f"step {context.name}: {_percent(zeros, total)} % of {total} weights are zero")
    result = context.folder / "pruned.onnx"
    weight_files.save(graph, result)
    return result


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if there is nothing to prune, or training fails."""
    from edge_compressor.training import weight_pruning

    return weight_pruning.prune(model, settings, context)


def _percent(part: int, whole: int) -> str:
    return f"{part / whole * 100:.1f}"


STEP = StepType(
    "PruneWeights",
    "Sets the smallest weights to zero; the model becomes smaller to transfer, not faster.",
    {
        "sparsityPercent": Whole(
            20,
            "Share of weights that are zero afterwards, in percent; 1 to 99. Accuracy typically falls steeply above "
            "50 without training, and above 80 with training (epochs above 0). Default: 20.",
            maximum=99,
        ),
        "scope": Choice(
            "Local",
            "Local: applies sparsityPercent to each layer. Global: applies one threshold to all weights, but each "
            "layer keeps at least half of the weights that Local would keep. Default: Local.",
            ("Local", "Global"),
        ),
        "opTypes": op_types(
            "ONNX operator types whose weights the step prunes: Conv, ConvTranspose, Gemm, MatMul, Gather; at most "
            "64. Default: all of these except Gather, which looks up embeddings.",
        ),
        "excludeNodes": replace(
            EXCLUDE_NODES,
            doc="Names of graph nodes whose weights the step leaves unchanged; with epochs above 0, names of layers "
            "as listed in the log; at most 256. Default: none.",
            each="Name of a node in the ONNX graph, or of a layer.",
        ),
        **training_settings(epochs=0, learning_rate="0.05", min_epochs=0),
    },
    {ONNX: apply, EXPORTED_PROGRAM: apply_program},
    trains_if="epochs",
    needs=("training",),
    changes_function=True,
)
