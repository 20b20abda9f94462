"""``type: FineTune``: trains the whole model, or only its last layers, on the labels.

Transfer learning (Yosinski et al. 2014, "How transferable are features in deep neural networks?") either freezes
what the source has learned (Frozen: all layers but the head; Partial: all but the head and the last layers) or starts
training from it (Full).
"""

from pathlib import Path

from edge_compressor.step_interface.step_type import StepContext, StepType
from edge_compressor.steps.training_settings import training_settings
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Choice, Settings, Whole


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if there is no head to replace, or training fails."""
    from edge_compressor.training import fine_tuning

    return fine_tuning.fine_tune(model, settings, context)


STEP = StepType(
    "FineTune",
    "Trains the model on datasets.training, for transfer learning or to recover accuracy after pruning.",
    {
        "train": Choice(
            "Full",
            "Layers that the step trains. Full: all layers. Partial: the head and the last trainableLayers layers "
            "before it. Frozen: the head only. Default: Full.",
            ("Full", "Partial", "Frozen"),
        ),
        "trainableLayers": Whole(
            2,
            "For train Partial: number of layers before the head that the step trains; 1 to 1000. Default: 2.",
            maximum=1000,
        ),
        "newHeadClasses": Whole(
            0,
            "Replaces the last layer with an untrained one for this number of classes; 0 keeps the layer; 0 to "
            "100000. With a new head, accuracy is not compared with the source: set budget.minAccuracyPercent. "
            "Default: 0.",
            minimum=0,
            maximum=100_000,
        ),
        **training_settings(epochs=10, learning_rate="0.05"),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training",),
    changes_function=True,
)
