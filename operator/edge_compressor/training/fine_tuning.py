"""The training of FineTune, see ``steps/fine_tune.py``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training import loop
from edge_compressor.training.channel_pruning import PRUNABLE, last_layers
from edge_compressor.training.program import TrainableProgram, load, save
from edgemodel import reasons
from edgemodel.setting_kinds import Settings


def fine_tune(model: Path, settings: Settings, context: StepContext) -> Path:
    """Runs the step on the program at ``model``, and returns the path of the trained program. Raises Stalled."""
    program = load(model, what=f"step {context.name}", reason=reasons.STEP_FAILED)
    torch.manual_seed(settings["seed"])
    if settings["newHeadClasses"]:
        _replace_head(program, settings["newHeadClasses"], context)
    trained = _freeze(program, settings)
    context.progress.say(f"trains {trained:,} of {program.parameters:,} parameters")
    with _kept_statistics(program, frozen=settings["train"] != "Full"):
        loop.fit(program, loop.by_labels(program), loop.Schedule.of(settings), context)
    program.module.requires_grad_(True)
    return save(program, context.folder / "tuned.pt2")


@contextmanager
def _kept_statistics(program: TrainableProgram, *, frozen: bool) -> Iterator[None]:
    """Keeps the statistics of the norms in ``frozen`` layers inside the context; later steps may train them again."""
    norms = [layer for layer in program.module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    before = [layer.momentum for layer in norms]
    for layer in norms if frozen else ():
        layer.momentum = 0.0
    yield
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum


def _replace_head(program: TrainableProgram, classes: int, context: StepContext) -> None:
    heads = sorted(last_layers(program))
    head: Any = program.module.get_submodule(heads[0]) if len(heads) == 1 else None
    if not isinstance(head, nn.Linear):
        listed = ", ".join(heads) or "none"
        raise failed(
            context.name, f"newHeadClasses replaces a last layer that is Linear, and the last layers are {listed}"
        )
    parent, _, name = heads[0].rpartition(".")
    new = nn.Linear(head.in_features, classes, bias=head.bias is not None)
    setattr(program.module.get_submodule(parent), name, new)


def _freeze(program: TrainableProgram, settings: Settings) -> int:
    """Freezes the layers that are not trained, and returns the number of trained parameters."""
    if settings["train"] == "Full":
        return program.parameters
    heads = last_layers(program)
    names = [name for name, layer in program.module.named_modules() if isinstance(layer, PRUNABLE)]
    body = [name for name in names if name not in heads]
    last = body[-settings["trainableLayers"] :] if settings["train"] == "Partial" else []
    program.module.requires_grad_(False)
    for name in {*heads, *last}:
        program.module.get_submodule(name).requires_grad_(True)
    return sum(one.numel() for one in program.module.parameters() if one.requires_grad)
