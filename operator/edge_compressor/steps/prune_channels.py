"""``type: PruneChannels``: whole channels of convolutions and features of products go, and all that depends on them.

What depends on what is found by torch-pruning (Fang et al. 2023, "DepGraph"). A channel's importance: its weights' L1
or L2 norm (Li et al. 2017), the change of the loss without it to the first order (Taylor; Molchanov et al. 2019), the
entropy of what it gives (Luo and Wu 2017), or how little it says that no other channel says (Correlation).
"""

from pathlib import Path

from edge_compressor.step_interface.step_type import StepContext, StepType
from edge_compressor.steps.training_settings import training_settings
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Choice, Settings, Texts, Whole


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) when nothing can be pruned, or training in between fails."""
    from edge_compressor.training import channel_pruning

    return channel_pruning.prune(model, settings, context)


STEP = StepType(
    "PruneChannels",
    "Removes channels of convolutions and features of products: smaller and faster; Distill or FineTune recovers it.",
    {
        "ratioPercent": Whole(
            50,
            "How many of each layer's channels go (Global: of all layers' together); 1 to 95. Default: 50.",
            maximum=95,
        ),
        "importance": Choice(
            "L1",
            "Which channels are kept. L1, L2: those with large weights. Taylor: those whose loss would raise the loss "
            "most, by gradients. Entropy: those that vary most between samples. Correlation: those that no other "
            "channel resembles. Default: L1.",
            ("L1", "L2", "Taylor", "Entropy", "Correlation"),
        ),
        "scope": Choice(
            "Local",
            "Local: the same share of each layer. Global: the least important of all layers, at most 90 % of one. "
            "Default: Local.",
            ("Local", "Global"),
        ),
        "iterations": Whole(1, "In how many rounds, with training after each; 1 to 20. Default: 1.", maximum=20),
        "roundTo": Whole(
            8,
            "Channels are kept in the nearest multiple of this, which processors like; 1 to 64. Default: 8.",
            maximum=64,
        ),
        "excludeLayers": Texts(
            "Names of layers that keep their channels, as the log lists them; at most 256. Default: none; those that "
            "give the outputs always do.",
            max_items=256,
            max_length=256,
        ),
        **training_settings(epochs=0, learning_rate="0.02", min_epochs=0),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training",),
)
