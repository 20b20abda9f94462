"""The training of PruneChannels, see ``steps/prune_channels.py``."""

from pathlib import Path
from typing import Any, Final

import torch_pruning
from torch import nn

from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training import importance, loop
from edge_compressor.training.program import TrainableProgram, load, save
from edgemodel import reasons
from edgemodel.setting_kinds import Settings

PRUNABLE: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
MAX_OF_ONE_LAYER: Final = 0.9
"""The largest share that one layer loses; otherwise global pruning would remove whole layers."""


def prune(model: Path, settings: Settings, context: StepContext) -> Path:
    """Runs the step on the program at ``model``, and returns the path of the trained program. Raises Stalled."""
    program = load(model, what=f"step {context.name}", reason=reasons.STEP_FAILED)
    module, before = program.module, program.parameters
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, PRUNABLE)}
    if unknown := sorted(set(settings["excludeLayers"]) - layers.keys()):
        listed = ", ".join(layers)
        raise failed(context.name, f"excludeLayers {', '.join(unknown)} match no layer; the layers are {listed}")
    kept = last_layers(program) | set(settings["excludeLayers"])
    context.progress.say(f"layers: {', '.join(name for name in layers if name not in kept)}")
    iterations, ratio = settings["iterations"], settings["ratioPercent"] / 100
    for iteration in range(1, iterations + 1):
        # Each round removes the same share of the remaining channels, so that all rounds together remove ``ratio``.
        _prune_once(program, 1 - (1 - ratio) ** (1 / iterations), kept, settings, context)
        context.progress.say(f"round {iteration} of {iterations}: {program.parameters:,} parameters of {before:,}")
        if settings["epochs"]:
            loop.fit(program, loop.by_labels(program), loop.Schedule.of(settings), context, round=iteration)
    after = program.parameters
    if after == before:
        message = f"nothing was pruned: {settings['ratioPercent']} % of the layers' channels is less than roundTo"
        raise failed(context.name, f"{message} ({settings['roundTo']}); raise ratioPercent or lower roundTo")
    context.notes["parameters"] = {"before": before, "after": after}
    return save(program, context.folder / "pruned.pt2")


def last_layers(program: TrainableProgram) -> set[str]:
    """Returns the layers whose output reaches the outputs of the model without another layer in between: they determine
    its shape."""
    modules, found, seen = dict(program.module.named_modules()), set(), set()
    waiting: list[Any] = [node for node in program.module.graph.nodes if node.op == "output"]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module" and isinstance(modules[node.target], PRUNABLE):
            found.add(str(node.target))
        else:
            waiting.extend(node.all_input_nodes)
    return found


def _prune_once(
    program: TrainableProgram, ratio: float, kept: set[str], settings: Settings, context: StepContext
) -> None:
    module = program.module.eval()
    measure = importance.make(settings["importance"], program, context, settings["batchSize"])
    pruner = _Pruner(
        module,
        program.example(),
        importance=measure,
        global_pruning=settings["scope"] == "Global",
        pruning_ratio=ratio,
        max_pruning_ratio=max(ratio, MAX_OF_ONE_LAYER),
        ignored_layers=[layer for name, layer in module.named_modules() if name in kept],
        round_to=settings["roundTo"],
    )
    pruner.step()
    module.zero_grad(set_to_none=True)


class _Pruner(torch_pruning.pruner.BasePruner):  # type: ignore[misc]  # torch-pruning has no types
    def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
        """Returns the number to prune so that the nearest multiple is kept, at least one; torch-pruning rounds down, to
        half of 16 for 5 % of 16."""
        kept = max(1, round((current_channels - n_pruned) / round_to)) * round_to
        return max(0, current_channels - kept)
