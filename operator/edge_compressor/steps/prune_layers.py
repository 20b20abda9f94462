"""``type: PruneLayers``: removes layers, or blocks between a shortcut and its addition, that change their input little.

The influence of a block is 1 minus the cosine similarity of its input and output on the training set (block
influence; Men et al. 2024, "ShortGPT", https://arxiv.org/abs/2403.03853).
"""

from pathlib import Path

from edge_compressor.step_interface.step_type import StepContext, StepType
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Settings, Texts, Whole


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if the model has fewer removable layers than ``layers``."""
    from edge_compressor.training import layer_pruning

    return layer_pruning.prune(model, settings, context)


STEP = StepType(
    "PruneLayers",
    "Removes whole layers and residual blocks that contribute little. Distill or FineTune recovers the accuracy.",
    {
        "layers": Whole(1, "Number of layers or blocks to remove; 1 to 100. Default: 1.", maximum=100),
        "excludeLayers": Texts(
            "Names of layers or blocks to keep, as listed in the log; at most 256. Default: none.",
            max_items=256,
            max_length=256,
        ),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training",),
    changes_function=True,
)
