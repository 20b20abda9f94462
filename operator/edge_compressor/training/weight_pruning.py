"""The training of PruneWeights, see ``steps/prune_weights.py``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from edge_compressor.models.magnitudes import share_out, smallest
from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training import loop
from edge_compressor.training.channel_pruning import PRUNABLE
from edge_compressor.training.program import load, save
from edgemodel import reasons
from edgemodel.setting_kinds import Settings

RISING: Final = 0.6
"""The share of the training in which the share of zeros rises."""
UPDATES: Final = 100
"""The number of times that it rises: Zhu and Gupta prune every 100 to 1000 batches, of longer trainings."""
LAYERS: Final = {"Conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d), "Gemm": (nn.Linear,), "MatMul": (nn.Linear,)}
"""The layers, by the operator type that they become."""


def prune(model: Path, settings: Settings, context: StepContext) -> Path:
    """Runs the step on the program at ``model``, and returns the path of the trained program. Raises Stalled."""
    program = load(model, what=f"step {context.name}", reason=reasons.STEP_FAILED)
    zeros = _Zeros(_chosen(dict(program.module.named_modules()), settings, context), settings)
    context.notes["zeros"] = {"weights": zeros.total, "before": zeros.count()}
    if zeros.count() >= zeros.total * settings["sparsityPercent"] // 100:
        message = f"nothing was pruned: {zeros.count()} of {zeros.total} weights are zero already"
        raise failed(context.name, f"{message}, and sparsityPercent is {settings['sparsityPercent']}: ask for more")
    loop.fit(program, loop.by_labels(program), loop.Schedule.of(settings), context, after_batch=zeros.after_batch)
    context.notes["zeros"]["after"] = zeros.count()
    context.progress.say(f"step {context.name}: {zeros.count() / zeros.total:.1%} of {zeros.total:,} weights are zero")
    return save(program, context.folder / "pruned.pt2")


def _chosen(modules: dict[str, nn.Module], settings: Settings, context: StepContext) -> list[Tensor]:
    """Returns the selected weights. Raises Stalled(StepFailed) for a type or a name that matches nothing."""
    layers = {name: layer for name, layer in modules.items() if isinstance(layer, PRUNABLE)}
    if foreign := sorted(set(settings["opTypes"]) - LAYERS.keys()):
        message = f"opTypes {', '.join(foreign)} cannot be pruned while the model is trained"
        raise failed(context.name, f"{message}: that can be {', '.join(LAYERS)}; take them out, or epochs")
    if unknown := sorted(set(settings["excludeNodes"]) - layers.keys()):
        message = f"excludeNodes {', '.join(unknown)} match no layer; the layers are {', '.join(layers)}"
        raise failed(context.name, f"{message}: with epochs, name layers")
    kinds = tuple(kind for one in settings["opTypes"] or LAYERS for kind in LAYERS[one])
    chosen = [n for n, layer in layers.items() if isinstance(layer, kinds) and n not in settings["excludeNodes"]]
    if not chosen:
        raise failed(context.name, f"opTypes and excludeNodes leave none of the layers {', '.join(layers)}")
    context.progress.say(f"layers: {', '.join(chosen)}")
    return [layers[name].weight for name in chosen]


class _Zeros:
    """The zero weights at every time of the training."""

    def __init__(self, weights: Sequence[Tensor], settings: Settings) -> None:
        self._weights = weights
        self._together = settings["scope"] == "Global"
        self._last = float(settings["sparsityPercent"])
        self.total = sum(weight.numel() for weight in weights)
        self._first = 100 * self.count() / self.total
        self._kept: list[Tensor] = []

    def count(self) -> int:
        return sum(int((weight == 0).sum()) for weight in self._weights)

    def percent(self, done: int, of: int) -> float:
        """Returns the percentage of weights that are zero after ``done`` batches of ``of``."""
        left = max(0.0, 1 - done / (RISING * of))
        return self._last + (self._first - self._last) * left**3

    @torch.no_grad()
    def after_batch(self, done: int, of: int) -> None:
        """Keeps zeros at zero, and from time to time adds the smallest of the other weights."""
        every = max(1, of // UPDATES)
        if not self._kept or done % every == 0:
            magnitudes: list[Any] = [weight.abs().numpy() for weight in self._weights]
            counts = share_out(magnitudes, self.percent(done - done % every, of), together=self._together)
            chosen = (smallest(size, count) for size, count in zip(magnitudes, counts, strict=True))
            self._kept = [torch.from_numpy(~one) for one in chosen]
        for weight, kept in zip(self._weights, self._kept, strict=True):
            weight.mul_(kept)
