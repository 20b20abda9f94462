"""``type: AdaptDomain``: adapts a model to a domain without labels, with labels from another domain.

The step aligns the features before the head in both domains: with a discriminator (DANN; Ganin et al. 2016,
https://arxiv.org/abs/1505.07818), or by minimizing a distance between them (MMD; Long et al. 2015,
https://arxiv.org/abs/1502.02791. CORAL; Sun and Saenko 2016, https://arxiv.org/abs/1607.01719). It normalizes each
domain with its own statistics (Chang et al. 2019, https://arxiv.org/abs/1906.03950); after training, normalization
layers take the statistics of the target domain (AdaBN; Li et al. 2016, https://arxiv.org/abs/1603.04779).
"""

from pathlib import Path

from edge_compressor.step_interface.step_type import StepContext, StepType
from edge_compressor.steps.training_settings import training_settings
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Choice, Flag, Fraction, Settings


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if the model does not have exactly one head, or training fails."""
    from edge_compressor.training import domain_adaptation

    return domain_adaptation.adapt(model, settings, context)


STEP = StepType(
    "AdaptDomain",
    "Adapts the model to the domain of datasets.unlabeled, with the labels of datasets.training.",
    {
        "method": Choice(
            "DANN",
            "How the step aligns the features of the two domains. DANN: trains against a discriminator that separates "
            "the domains. MMD, CORAL: minimize that distance between their features. None: only recomputes "
            "normalization statistics. Default: DANN.",
            ("DANN", "MMD", "CORAL", "None"),
        ),
        "weight": Fraction(
            "1",
            "Weight of the domain loss relative to the loss on the labels; it increases gradually to this value; "
            'a decimal string, "0" to "1000". Default: "1".',
            "0",
            "1000",
        ),
        "targetStatistics": Flag(
            True,
            "true recomputes the statistics of normalization layers on the unlabeled set after training. "
            "Default: true.",
        ),
        **training_settings(epochs=10, learning_rate="0.02"),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training", "unlabeled"),
    changes_function=True,
)
