"""The training loop of every step that trains: one schedule, and one interval of progress and checkpoints."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from edge_compressor.datasets import Dataset, check_classes
from edge_compressor.progress import Progress
from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training import checkpoint, losses
from edge_compressor.training.program import TrainableProgram
from edge_runtime.cores import usable_cores
from edgemodel.setting_kinds import Settings

WARM_UP: Final = 0.25
"""The share of the steps in which the learning rate rises; Smith and Topin 2019, "Super-convergence" (1cycle)."""
MIN_STEPS: Final = 5
"""The smallest number of steps of a cycle: with fewer, no whole step is left for the rise."""
MAX_SHIFT: Final = 2
"""The largest shift of an image by FlipShift in each direction, in pixels."""


@dataclass(frozen=True)
class Schedule:
    """The settings that every step that trains has, see ``steps/training_settings.py``."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    optimizer: str
    augmentation: str
    seed: int

    @classmethod
    def of(cls, settings: Settings, *, epochs: int | None = None) -> "Schedule":
        """Returns the schedule that a step's settings describe; ``epochs`` replaces theirs if given."""
        return cls(
            epochs=settings["epochs"] if epochs is None else epochs,
            batch_size=settings["batchSize"],
            learning_rate=float(settings["learningRate"]),
            weight_decay=float(settings["weightDecay"]),
            optimizer=settings["optimizer"],
            augmentation=settings["augmentation"],
            seed=settings["seed"],
        )


Batch = tuple[tuple[Tensor, ...], Tensor]
"""A batch: inputs in the order of the program's, and labels."""
Objective = Callable[[Batch], Tensor]
"""The loss of a batch, a scalar; it runs the model itself."""


def fit(
    program: TrainableProgram,
    objective: Objective,
    schedule: Schedule,
    context: StepContext,
    *,
    extra: nn.Module | None = None,
    after_batch: Callable[[int, int], None] | None = None,
    round: int = 0,
) -> float:
    """Trains the parameters of ``program.module`` that require gradients, and ``extra``; returns the mean loss of the
    last epoch.

    A weight that is zero when training begins stays zero, so that pruned weights stay pruned. ``after_batch`` is called
    with the number of completed batches and their total, also before the first. Training continues from the last
    checkpoint of this ``round`` of the step, if there is one; the result is NaN if nothing was left to do.

    Raises Stalled(StepFailed) if the loss is not finite any more.
    """
    dataset = training_set(context)
    module = program.module
    _check(program, dataset, context)
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(usable_cores())
    parts = nn.ModuleList([module, *([extra] if extra is not None else [])])
    parameters = [parameter for parameter in parts.parameters() if parameter.requires_grad]
    zeros = [(one, one.detach() != 0) for one in parameters if one.dim() > 1 and bool((one == 0).any())]
    optimizer = _optimizer(schedule, parameters)
    steps = -(-dataset.size // schedule.batch_size)
    total = max(MIN_STEPS, schedule.epochs * steps)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=schedule.learning_rate, total_steps=total, pct_start=WARM_UP
    )
    training = checkpoint.Training(context, schedule, checkpoint.State(parts, optimizer, rates), round)
    first = training.restore()
    if after_batch is not None:
        after_batch(first * steps, schedule.epochs * steps)
    report = _Report(context.progress, schedule.epochs, steps, first)
    mean = math.nan
    for epoch in range(first, schedule.epochs):
        module.train()
        sum_of_losses = 0.0
        for step, batch in enumerate(batches(program, dataset, schedule, epoch)):
            loss = objective(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
            with torch.no_grad():
                for parameter, kept in zeros:
                    parameter.mul_(kept)
            sum_of_losses += (value := loss.item())
            if not math.isfinite(value):
                message = f"the loss is {value} in epoch {epoch + 1} of {schedule.epochs}: lower learningRate"
                raise failed(context.name, message)
            if after_batch is not None:
                after_batch(epoch * steps + step + 1, schedule.epochs * steps)
            report.step(epoch, step, value)
        mean = sum_of_losses / steps
        report.epoch(epoch, mean)
        training.keep(epoch + 1)
    module.eval()
    return mean


def by_labels(program: TrainableProgram) -> Objective:
    """Returns the objective of the task itself, the difference between outputs and labels."""

    def objective(batch: Batch) -> Tensor:
        inputs, label = batch
        return losses.task_loss(program.module(*inputs)[0], label)

    return objective


def training_set(context: StepContext) -> Dataset:
    """Returns the training set. Raises Stalled(StepFailed) if it has no labels."""
    dataset = context.training
    assert dataset is not None  # the pipeline requires it
    if dataset.label is None:
        raise failed(context.name, "the training set has no array 'label': training needs labels")
    return dataset


def _check(program: TrainableProgram, dataset: Dataset, context: StepContext) -> None:
    """Raises Stalled: StepFailed for a program of one batch size, DatasetInvalid for labels without a class."""
    fixed = [one for one in program.inputs if one.shape and one.shape[0] >= 0]
    if fixed:
        message = f"input {fixed[0].name} was exported for a batch of {fixed[0].shape[0]}, and training needs others"
        wanted = f'dynamic_shapes={{"{fixed[0].name}": {{0: torch.export.Dim("batch")}}}}'
        raise failed(context.name, f"{message}: export it with {wanted}")
    program.module.eval()
    answers = program.module(*program.example())[0]
    assert dataset.label is not None
    if answers.dim() == 2 and dataset.label.ndim == 1 and dataset.label.dtype.kind in "iu":
        check_classes(dataset, answers.shape[1])


def batches(program: TrainableProgram, dataset: Dataset, schedule: Schedule, epoch: int) -> Iterator[Batch]:
    """Yields every sample once, in an order that depends on seed and epoch."""
    random = np.random.default_rng([schedule.seed, epoch])
    generator = torch.Generator().manual_seed(schedule.seed * 1_000_003 + epoch)
    order = random.permutation(dataset.size)
    for start in range(0, dataset.size, schedule.batch_size):
        rows = np.sort(order[start : start + schedule.batch_size])  # a mapped file is read in its own order
        if len(rows) == 1 and dataset.size > 1:
            rows = np.append(rows, order[0])  # one sample has no variance, which BatchNorm divides by
        label = None if dataset.label is None else torch.from_numpy(np.ascontiguousarray(dataset.label[rows]))
        inputs = tensors(program, dataset.take(rows))
        if schedule.augmentation != "None":
            inputs = tuple(_augmented(one, schedule.augmentation, generator) for one in inputs)
        yield inputs, label if label is not None else torch.empty(0)


def tensors(program: TrainableProgram, feeds: dict[str, Any]) -> tuple[Tensor, ...]:
    """Returns the feeds as tensors, in the order of the program's inputs."""
    return tuple(torch.from_numpy(feeds[one.name]) for one in program.inputs)


def _augmented(images: Tensor, how: str, random: torch.Generator) -> Tensor:
    """Returns images [n, channels, height, width], shifted by up to MAX_SHIFT pixels, and half of them mirrored for
    FlipShift."""
    if images.dim() != 4 or not images.is_floating_point():
        return images
    if how == "FlipShift":
        mirrored = torch.rand(len(images), 1, 1, 1, generator=random) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    down, right = torch.randint(0, 2 * MAX_SHIFT + 1, (2,), generator=random).tolist()
    padded = nn.functional.pad(images, (MAX_SHIFT,) * 4)
    return padded[:, :, down : down + images.shape[2], right : right + images.shape[3]].contiguous()


def _optimizer(schedule: Schedule, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if schedule.optimizer == "SGD":
        return torch.optim.SGD(
            parameters, lr=schedule.learning_rate, momentum=0.9, nesterov=True, weight_decay=schedule.weight_decay
        )
    return torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)


class _Report:
    """The report of epoch, loss and remaining time."""

    def __init__(self, progress: Progress, epochs: int, steps: int, first: int) -> None:
        self._progress, self._epochs, self._steps, self._first = progress, epochs, steps, first
        self._started = time.monotonic()

    def step(self, epoch: int, step: int, loss: float) -> None:
        what = f"epoch {epoch + 1} of {self._epochs}, loss {loss:.4f}, {self._left(epoch, step + 1)} left; batch"
        self._progress.count(what, step + 1, self._steps)

    def epoch(self, epoch: int, mean: float) -> None:
        left = self._left(epoch, self._steps)
        self._progress.say(f"epoch {epoch + 1} of {self._epochs}: mean loss {mean:.4f}, {left} left")

    def _left(self, epoch: int, steps: int) -> str:
        done = (epoch - self._first) * self._steps + steps
        rest = (self._epochs - self._first) * self._steps - done
        return f"{round((time.monotonic() - self._started) / done * rest)} s"
