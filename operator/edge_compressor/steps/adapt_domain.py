"""``type: AdaptDomain``: labels from one domain, inputs without labels from the one where the model will serve.

The features before the head are made alike in both domains: by a discriminator that must not tell them apart (DANN;
Ganin et al. 2016, https://arxiv.org/abs/1505.07818), or by a distance between them (MMD; Long et al. 2015,
https://arxiv.org/abs/1502.02791. CORAL; Sun and Saenko 2016, https://arxiv.org/abs/1607.01719). Each domain is
normalised by its own statistics (Chang et al. 2019, https://arxiv.org/abs/1906.03950); at the end the norms take those
of the target domain (AdaBN; Li et al. 2016, https://arxiv.org/abs/1603.04779).
"""

from pathlib import Path

from edge_compressor.step_interface.step_type import StepContext, StepType
from edge_compressor.steps.training_settings import training_settings
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Choice, Flag, Fraction, Settings


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) when the model has no one head, or training fails."""
    from edge_compressor.training import domain_adaptation

    return domain_adaptation.adapt(model, settings, context)


STEP = StepType(
    "AdaptDomain",
    "Adapts the model to the domain of datasets.unlabeled, which has no labels, with the labels of datasets.training.",
    {
        "method": Choice(
            "DANN",
            "How the domains are made alike. DANN: by a discriminator that must not tell them apart. MMD, CORAL: by a "
            "distance of their features. None: by the statistics of the norms only. Default: DANN.",
            ("DANN", "MMD", "CORAL", "None"),
        ),
        "weight": Fraction(
            "1", 'Of that beside the loss on the labels, reached gradually; "0" to "1000". Default: "1".', "0", "1000"
        ),
        "targetStatistics": Flag(
            True, "Whether norms take their statistics from the unlabeled set at the end. Default: true."
        ),
        **training_settings(epochs=10, learning_rate="0.02"),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training", "unlabeled"),
)
