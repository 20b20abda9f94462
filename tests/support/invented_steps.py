"""More step types, and more settings, than exist, for tests of the generated schema."""

from collections.abc import Mapping
from pathlib import Path

from edge_compressor.steps import STEPS, Settings, StepContext, StepType
from edgemodel.compression_request import EXPORTED_PROGRAM, ONNX
from edgemodel.setting_kinds import Choice, Flag, Fraction, Setting, Texts, Whole

EVERY_KIND: Mapping[str, Setting] = {
    "keepHead": Flag(False, "Whether the head stays. Default: false."),
    "epochs": Whole(3, "How often it sees all samples; 0 to 1000. Default: 3.", minimum=0, maximum=1000),
    "seed": Whole(0, "Where chance begins; from 0. Default: 0.", minimum=0),
    "sparsity": Fraction("0.5", 'Share of weights that go; "0" to "0.95". Default: 0.5.', "0", "0.95"),
    "schedule": Choice("Cosine", "How the rate falls: Cosine or Step. Default: Cosine.", ("Cosine", "Step")),
    "layers": Texts("Layers to prune; at most 8. Default: all.", max_items=8, max_length=64, pattern="^[a-z.]+$"),
}


def nothing(model: Path, settings: Settings, context: StepContext) -> Path:
    """Returns the model as it is."""
    return model


PRUNE = StepType("Prune", "Takes weights out.", EVERY_KIND, {ONNX: nothing})
THIN = StepType(
    "Thin", "Takes weights out, with epochs while it learns.", EVERY_KIND,
    {ONNX: nothing, EXPORTED_PROGRAM: nothing}, trains_if="epochs",
    needs=("training",),
)  # fmt: skip
LEARN = StepType(
    "Learn", "Learns from labels.", EVERY_KIND, {EXPORTED_PROGRAM: nothing}, needs=("training", "unlabeled")
)


def many(count: int) -> tuple[StepType, ...]:
    """Returns ``count`` types, the real ones first; the others train, have 18 settings each and need all data."""
    settings = {f"{name}{number}": kind for number in range(3) for name, kind in EVERY_KIND.items()}
    needs = ("calibration", "training", "unlabeled")
    invented = (
        StepType(f"Invented{number}", "Is not there.", settings, {EXPORTED_PROGRAM: nothing}, needs=needs)
        for number in range(count - len(STEPS))
    )
    return (*STEPS.values(), *invented)
