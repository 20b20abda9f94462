"""The training of QuantizeAware, see ``steps/quantize_aware.py``."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training import loop
from edge_compressor.training.channel_pruning import PRUNABLE
from edge_compressor.training.program import load, save, to_onnx
from edgemodel import reasons
from edgemodel.setting_kinds import Settings

STEPS_OF_ACTIVATIONS = 255
MOMENTUM = 0.05
"""The weight of the latest batch in the running range of an input."""


def train(model: Path, settings: Settings, context: StepContext) -> Path:
    """Returns the ONNX file of the model trained with rounding, with float weights on the grid of int8.

    Raises Stalled(StepFailed) for a model without layers to quantize.
    """
    program = load(model, what=f"step {context.name}", reason=reasons.STEP_FAILED)
    layers = [layer for layer in program.module.modules() if isinstance(layer, PRUNABLE)]
    if not layers:
        raise failed(context.name, "nothing was quantized: the model has no convolution and no product")
    steps = 64 if settings["reduceRange"] else 127
    ranges = [_Range() for _ in layers]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _Rounded(steps))
    hooks = [layer.register_forward_pre_hook(one.round) for layer, one in zip(layers, ranges, strict=True)]
    loop.fit(program, loop.by_labels(program), loop.Schedule.of(settings), context, extra=nn.ModuleList(ranges))
    for hook in hooks:
        hook.remove()
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight")  # leaves the rounded weights, which lie on the grid
    trained = save(program, context.folder / "trained.pt2")
    what = f"step {context.name}: its result"
    return to_onnx(trained, context.folder / "trained.onnx", what=what, reason=reasons.STEP_FAILED)


class _Rounded(nn.Module):
    """A parametrization that rounds weights [out, …] to a symmetric grid of ``steps`` to each side, with one scale per
    output channel."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def forward(self, weight: Tensor) -> Tensor:
        largest = weight.detach().abs().flatten(1).amax(1).clamp_min(1e-12)
        scale = (largest / self._steps).view(-1, *[1] * (weight.dim() - 1))
        return weight + (torch.round(weight / scale) * scale - weight).detach()


class _Range(nn.Module):
    """The running range of a layer's input, and its rounding to STEPS_OF_ACTIVATIONS steps; 0 is one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def round(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        values: Tensor = inputs[0]
        low, high = self.low, self.high
        assert isinstance(low, Tensor)
        assert isinstance(high, Tensor)
        if layer.training:
            least, most = values.detach().amin().clamp_max(0), values.detach().amax().clamp_min(0)
            first = bool(low == high)
            low.copy_(least if first else low + MOMENTUM * (least - low))
            high.copy_(most if first else high + MOMENTUM * (most - high))
        scale = ((high - low) / STEPS_OF_ACTIVATIONS).clamp_min(1e-12)
        rounded = torch.round(values.clamp(low, high) / scale) * scale
        # Outside the range the gradient is that of the clamp, zero; inside it passes.
        clamped = values.clamp(low.item(), high.item())
        return (clamped + (rounded - clamped).detach(), *inputs[1:])
