"""The training of AdaptDomain, see ``steps/adapt_domain.py``."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_compressor.datasets import Dataset
from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training import loop, losses
from edge_compressor.training.channel_pruning import last_layers
from edge_compressor.training.program import TrainableProgram, load, save
from edgemodel import reasons
from edgemodel.setting_kinds import Settings

HIDDEN = 128
"""The width of the discriminator's inner layer."""


def adapt(model: Path, settings: Settings, context: StepContext) -> Path:
    """Runs the step on the program at ``model``, and returns the path of the trained program. Raises Stalled."""
    program = load(model, what=f"step {context.name}", reason=reasons.STEP_FAILED)
    unlabeled = context.unlabeled
    assert unlabeled is not None  # the pipeline requires it
    head = _head(program, context)
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0].flatten(1)))
    torch.manual_seed(settings["seed"])
    program.module.eval()
    program.module(*program.example())
    discriminator = _Discriminator(seen.pop().shape[1]) if settings["method"] == "DANN" else None
    distance = _distance(settings["method"], discriminator)
    schedule, weight = loop.Schedule.of(settings), float(settings["weight"])
    clock = _Clock()

    def objective(batch: loop.Batch) -> Tensor:
        inputs, label = batch
        loss = losses.task_loss(program.module(*inputs)[0], label)
        ours = seen.pop()
        if distance is None:
            return loss
        # Each domain alone, so that norms use its own statistics, as they finally do for the target.
        program.module(*_batch(program, unlabeled, schedule, clock.batches))
        theirs = seen.pop()
        if discriminator is not None:
            both = torch.cat([ours, theirs])
            both = _Reversed.apply(both, clock.strength * weight)  # type: ignore[no-untyped-call]
            return loss + distance(both[: len(ours)], both[len(ours) :])
        return loss + weight * clock.strength * distance(ours, theirs)

    loop.fit(program, objective, schedule, context, extra=discriminator, after_batch=clock.set)
    hook.remove()
    if settings["targetStatistics"]:
        _take_statistics(program, unlabeled, schedule)
    return save(program, context.folder / "adapted.pt2")


class _Clock:
    """The progress of the training."""

    batches = 0
    strength = 0.0
    """The weight of the discriminator, which rises from 0 to 1, so that it learns before it has an effect; Ganin et al.
    2016, section 5.2.2."""

    def set(self, batches: int, of: int) -> None:
        self.batches = batches
        self.strength = 2 / (1 + math.exp(-10 * batches / of)) - 1


class _Reversed(torch.autograd.Function):
    """A layer that passes features on unchanged and reverses their gradient."""

    @staticmethod
    def forward(context: Any, features: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -context.strength * gradient, None


class _Discriminator(nn.Sequential):
    """A network from features [n, width] to the logit [n] of being from the target domain."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1), nn.Flatten(0))


Distance = Callable[[Tensor, Tensor], Tensor]


def _distance(method: str, discriminator: nn.Module | None) -> Distance | None:
    if discriminator is None:
        return {"MMD": losses.mmd, "CORAL": losses.coral}.get(method)

    def confusion(ours: Tensor, theirs: Tensor) -> Tensor:
        logits = discriminator(torch.cat([ours, theirs]))
        truth = torch.cat([torch.zeros(len(ours)), torch.ones(len(theirs))])
        return nn.functional.binary_cross_entropy_with_logits(logits, truth)

    return confusion


def _head(program: TrainableProgram, context: StepContext) -> nn.Module:
    heads = sorted(last_layers(program))
    if len(heads) != 1:
        message = f"AdaptDomain needs one last layer, whose input are the features; this model has {', '.join(heads)}"
        raise failed(context.name, message if heads else "the model has no layer that gives its output")
    return program.module.get_submodule(heads[0])


def _batch(program: TrainableProgram, dataset: Dataset, schedule: loop.Schedule, number: int) -> tuple[Tensor, ...]:
    """Returns the inputs of batch ``number`` of the training, which may exceed the number of batches: each pass has
    another order.

    If there are fewer samples than a batch holds, it has them all.
    """
    size = min(schedule.batch_size, dataset.size)
    rounds, place = divmod(number, dataset.size // size)
    order = _order(schedule.seed, rounds, dataset.size)
    return loop.tensors(program, dataset.take(np.sort(order[place * size : (place + 1) * size])))


@lru_cache(maxsize=1)
def _order(seed: int, rounds: int, size: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 7, rounds]).permutation(size)


@torch.no_grad()
def _take_statistics(program: TrainableProgram, dataset: Dataset, schedule: loop.Schedule) -> None:
    norms = [layer for layer in program.module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
        layer.train()
    size = min(schedule.batch_size, dataset.size)
    for start in range(0, dataset.size - size + 1, size):
        program.module(*loop.tensors(program, dataset.take(np.arange(start, start + size))))
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
        layer.eval()
