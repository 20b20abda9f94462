"""The importance of channels: a number for each channel of a group that is removed together; the least important is
removed first."""

from typing import Any, Final

import torch
import torch_pruning
from torch import Tensor, nn

from edge_compressor.step_interface.step_type import StepContext
from edge_compressor.training import losses
from edge_compressor.training.loop import tensors, training_set
from edge_compressor.training.program import TrainableProgram

SAMPLES: Final = 512
"""The number of training samples, evenly spread, that activations and gradients are computed for."""
BINS: Final = 32
_LAYERS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def make(kind: str, program: TrainableProgram, context: StepContext, batch_size: int) -> Any:
    """Returns an importance in torch-pruning's form."""
    if kind in ("L1", "L2"):
        return torch_pruning.importance.MagnitudeImportance(p=int(kind[1]))
    if kind == "Taylor":
        _accumulate_gradients(program, context, batch_size)
        return torch_pruning.importance.TaylorImportance()
    measure = entropy if kind == "Entropy" else independence
    return _ByActivations({layer: measure(seen) for layer, seen in _activations(program, context, batch_size).items()})


def entropy(activations: Tensor) -> Tensor:
    """Returns the bits of each channel of ``activations`` [samples, channels], over BINS equal bins of its own range.

    Luo and Wu 2017, "An Entropy-based Pruning Method for CNN Compression", section 3.2, for the mean over positions.
    """
    low, high = activations.amin(0), activations.amax(0)
    bins = ((activations - low) / (high - low).clamp_min(1e-12) * (BINS - 1)).round().long()
    shares = torch.zeros(BINS, activations.shape[1])
    shares.scatter_add_(0, bins, torch.ones_like(activations))
    shares /= len(activations)
    return -(shares * shares.clamp_min(1e-12).log2()).sum(0)


def independence(activations: Tensor) -> Tensor:
    """Returns 1 minus the largest absolute correlation of each channel of ``activations`` [samples, channels] with an
    earlier channel, so that of two equivalent ones one stays; 0 for a channel that never changes."""
    centred = activations - activations.mean(0)
    spread = centred.norm(dim=0)
    unit = centred / spread.clamp_min(1e-12)
    correlation = torch.triu(unit.t() @ unit, diagonal=1).abs()
    return torch.where(spread > 0, 1 - correlation.amax(0), torch.zeros_like(spread))


class _ByActivations(torch_pruning.importance.Importance):  # type: ignore[misc]  # torch-pruning has no types
    """The mean importance over the layers of a group that produce the channels."""

    def __init__(self, of_layer: dict[nn.Module, Tensor]) -> None:
        self._of_layer = of_layer

    def __call__(self, group: Any, **_: Any) -> Tensor | None:
        found = []
        for dependency, positions in group:
            known = self._of_layer.get(dependency.target.module)
            gives = dependency.handler in (
                torch_pruning.prune_conv_out_channels, torch_pruning.prune_linear_out_channels,
                torch_pruning.prune_depthwise_conv_out_channels,
            )  # fmt: skip
            if known is not None and gives and max(positions) < len(known):
                found.append(known[torch.as_tensor(positions)])
        return torch.stack([one for one in found if len(one) == len(found[0])]).mean(0) if found else None


def _batches(program: TrainableProgram, context: StepContext, batch_size: int) -> Any:
    dataset = training_set(context)
    positions = dataset.spread(SAMPLES)
    for start in range(0, len(positions), batch_size):
        rows = positions[start : start + batch_size]
        assert dataset.label is not None
        yield tensors(program, dataset.take(rows)), torch.from_numpy(dataset.label[rows])


def _accumulate_gradients(program: TrainableProgram, context: StepContext, batch_size: int) -> None:
    program.module.eval().zero_grad(set_to_none=True)
    for inputs, label in _batches(program, context, batch_size):
        loss: Any = losses.task_loss(program.module(*inputs)[0], label)
        loss.backward()


@torch.no_grad()
def _activations(program: TrainableProgram, context: StepContext, batch_size: int) -> dict[nn.Module, Tensor]:
    """Returns the outputs of each layer as [samples, channels]: their mean over positions."""
    seen: dict[nn.Module, list[Tensor]] = {}

    def keep(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        channels_last = output if isinstance(layer, nn.Linear) else output.movedim(1, -1)
        seen.setdefault(layer, []).append(channels_last.reshape(len(output), -1, channels_last.shape[-1]).mean(1))

    layers = [layer for layer in program.module.modules() if isinstance(layer, _LAYERS)]
    hooks: list[Any] = [layer.register_forward_hook(keep) for layer in layers]
    for inputs, _ in _batches(program, context, batch_size):
        program.module(*inputs)
    for hook in hooks:
        hook.remove()
    return {layer: torch.cat(parts) for layer, parts in seen.items()}
