"""``type: Distill``: trains the model to reproduce the outputs of a teacher, in addition to the labels.

``L = (1 - a) CE(y, p_s) + a T^2 KL(p_t, p_s)`` (Hinton, Vinyals and Dean 2015, https://arxiv.org/abs/1503.02531);
``intermediateWeight`` adds attention transfer (Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1612.03928). The
teacher is ``compression.teacher``, or else the source, so that a pruned model learns its former outputs.
"""

from pathlib import Path

from edge_compressor.step_interface.step_type import StepContext, StepType
from edge_compressor.steps.training_settings import training_settings
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Fraction, Settings, Texts


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if teacher and model have different tasks, or training fails."""
    from edge_compressor.training import distillation

    return distillation.distill(model, settings, context)


STEP = StepType(
    "Distill",
    "Trains the model on datasets.training to reproduce the outputs of its teacher; recovers accuracy lost by "
    "pruning.",
    {
        "alpha": Fraction(
            "0.7", 'Weight of the teacher in the loss; the labels have the remaining weight; a decimal string, "0" to '
                   '"1". Default: "0.7".',
            "0", "1",
        ),
        "temperature": Fraction(
            "4", 'Softmax temperature applied to the outputs of teacher and student; a decimal string, "1" to "100". '
                 'Default: "4".', "1", "100"
        ),
        "intermediateWeight": Fraction(
            "0",
            'Weight of attention transfer between layers with the same names; a decimal string, "0" to "10000". '
            'Requires a teacher in format ExportedProgram. Default: "0", no attention transfer.',
            "0", "10000",
        ),
        "intermediateLayers": Texts(
            "Names of layers for attention transfer, as listed in the log; at most 64. Default: the last convolution "
            "of each output size.",
            max_items=64, max_length=256,
        ),
        **training_settings(epochs=10, learning_rate="0.1"),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training",),
    reads=("teacher",),
    changes_function=True,
)  # fmt: skip
