"""``type: PruneChannels``: removes channels of convolutions and features of linear layers, with their dependents.

torch-pruning finds the dependencies (Fang et al. 2023, "DepGraph"). The importance of a channel is the L1 or L2 norm
of its weights (Li et al. 2017), the first-order change of the loss without it (Taylor; Molchanov et al. 2019), the
entropy of its output (Luo and Wu 2017), or how little other channels correlate with it (Correlation).
"""

from pathlib import Path

from edge_compressor.step_interface.step_type import StepContext, StepType
from edge_compressor.steps.training_settings import training_settings
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Choice, Settings, Texts, Whole


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if nothing can be pruned, or training between rounds fails."""
    from edge_compressor.training import channel_pruning

    return channel_pruning.prune(model, settings, context)


STEP = StepType(
    "PruneChannels",
    "Removes channels of convolutions and features of linear layers; the model becomes smaller and faster. Distill or "
    "FineTune recovers the accuracy.",
    {
        "ratioPercent": Whole(
            50,
            "Share of channels to remove, in percent of each layer (scope Global: of all layers together); 1 to 95. "
            "Default: 50.",
            maximum=95,
        ),
        "importance": Choice(
            "L1",
            "Which channels the step keeps. L1, L2: channels with the largest weights, by that norm. Taylor: channels "
            "whose removal would increase the loss most, estimated from gradients. Entropy: channels that vary most "
            "between samples. Correlation: channels least correlated with others. Default: L1.",
            ("L1", "L2", "Taylor", "Entropy", "Correlation"),
        ),
        "scope": Choice(
            "Local",
            "Local: removes the same share of each layer. Global: removes the least important channels of all layers, "
            "at most 90 % of any layer. Default: Local.",
            ("Local", "Global"),
        ),
        "iterations": Whole(1, "Number of pruning rounds, each followed by training; 1 to 20. Default: 1.", maximum=20),
        "roundTo": Whole(
            8,
            "The number of remaining channels is rounded to the nearest multiple of this, which processors handle "
            "efficiently; 1 to 64. Default: 8.",
            maximum=64,
        ),
        "excludeLayers": Texts(
            "Names of layers that keep all channels, as listed in the log; at most 256. Output layers always keep "
            "theirs. Default: none.",
            max_items=256,
            max_length=256,
        ),
        **training_settings(epochs=0, learning_rate="0.02", min_epochs=0),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training",),
    changes_function=True,
)
