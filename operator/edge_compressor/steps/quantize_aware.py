"""``type: QuantizeAware``: trains the model with simulated int8 rounding, then quantizes it like QuantizeStatic.

Training rounds weights to their later grid, per output channel, and inputs of layers to 256 steps of their range;
gradients ignore the rounding (Jacob et al. 2018, https://arxiv.org/abs/1712.05877). Use it where QuantizeStatic alone
loses too much accuracy. The result is ONNX, which no later step can train.
"""

from dataclasses import replace
from pathlib import Path

from edge_compressor.step_interface.step_type import REDUCE_RANGE, StepContext, StepType
from edge_compressor.steps import quantize_static
from edge_compressor.steps.quantize_static import MIN_SAMPLES
from edge_compressor.steps.training_settings import training_settings
from edgemodel.compression_request import EXPORTED_PROGRAM
from edgemodel.setting_kinds import Settings, Whole


def apply_program(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if nothing can be quantized, or training fails."""
    from edge_compressor.training import fake_quantization

    return _as_int8(fake_quantization.train(model, settings, context), settings, context)


def _as_int8(model: Path, settings: Settings, context: StepContext) -> Path:
    resolved = {key: setting.default for key, setting in quantize_static.STEP.settings.items()}
    resolved |= {key: settings[key] for key in ("calibrationSamples", "reduceRange")}
    calibration = context.calibration or context.training
    return quantize_static.apply(model, resolved, replace(context, calibration=calibration))


STEP = StepType(
    "QuantizeAware",
    "Trains the model with simulated int8 rounding, then quantizes it; use it where QuantizeStatic alone loses too "
    "much accuracy.",
    {
        "calibrationSamples": Whole(
            256,
            "Number of samples from which activation ranges are derived, from datasets.calibration or, without it, "
            f"datasets.training; {MIN_SAMPLES} to 100000. Default: 256.",
            minimum=MIN_SAMPLES,
            maximum=100_000,
        ),
        "reduceRange": REDUCE_RANGE,
        **training_settings(epochs=3, learning_rate="0.005"),
    },
    {EXPORTED_PROGRAM: apply_program},
    needs=("training",),
    ends_training=True,
    changes_function=True,
)
