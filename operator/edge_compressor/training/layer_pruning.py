"""The training of PruneLayers, see ``steps/prune_layers.py``."""

from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.nn import functional

from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training.channel_pruning import PRUNABLE
from edge_compressor.training.importance import SAMPLES
from edge_compressor.training.loop import tensors
from edge_compressor.training.program import TrainableProgram, load, save
from edgemodel import reasons
from edgemodel.setting_kinds import Settings

_ADDITIONS: Final = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)

Pair = tuple[Node, Node]
"""The input node of a layer or block, and its output node; both have one shape."""


def prune(model: Path, settings: Settings, context: StepContext) -> Path:
    """Runs the step on the program at ``model``, and returns the path of the trained program. Raises Stalled."""
    program = load(model, what=f"step {context.name}", reason=reasons.STEP_FAILED)
    removed: list[str] = []
    while len(removed) < settings["layers"]:
        pairs = _pairs(program, context)
        influence = _influence(program, pairs, context)
        context.progress.say(f"influence: {', '.join(f'{name} {value:.3f}' for name, value in influence.items())}")
        free = {name: value for name, value in influence.items() if name not in settings["excludeLayers"]}
        if not removed and (unknown := sorted(set(settings["excludeLayers"]) - influence.keys())):
            listed = ", ".join(influence)
            raise failed(context.name, f"excludeLayers {', '.join(unknown)} match none; there are {listed}")
        if not free:
            message = f"layers is {settings['layers']}, and only {len(removed)} could go without changing a shape"
            raise failed(context.name, f"{message}: lower it, or use PruneChannels")
        least = min(free, key=lambda name: (free[name], name))
        _bypass(program, *pairs[least])
        removed.append(least)
    context.notes["removed"] = removed
    return save(program, context.folder / "shallower.pt2")


def _pairs(program: TrainableProgram, context: StepContext) -> dict[str, Pair]:
    """Returns the pairs by the name of the layer, or of the addition that ends the block."""
    shapes = _Shapes(program).of(context)
    modules = dict(program.module.named_modules())
    found: dict[str, Pair] = {}
    for node in program.module.graph.nodes:
        if node.op == "call_function" and node.target in _ADDITIONS:
            first, second = node.args[:2]
            if isinstance(first, Node) and isinstance(second, Node):
                for shortcut, branch in ((first, second), (second, first)):
                    if shapes.get(shortcut) == shapes.get(node) and _reaches(branch, shortcut):
                        found[node.name] = (shortcut, node)
                        break
        elif node.op == "call_module" and isinstance(modules[node.target], PRUNABLE):
            source = node.args[0]
            if shapes.get(source) == shapes.get(node):
                found[str(node.target)] = (source, node)
    return found


class _Shapes(Interpreter):
    """An interpreter that runs a few samples and keeps the output of each node."""

    def __init__(self, program: TrainableProgram) -> None:
        super().__init__(program.module.eval())
        self._program = program
        self.values: dict[Node, Tensor] = {}

    def run_node(self, node: Node) -> Any:
        result = super().run_node(node)
        if isinstance(result, Tensor):
            self.values[node] = result
        return result

    @torch.no_grad()
    def of(self, context: StepContext, samples: int = 2) -> dict[Node, tuple[int, ...]]:
        assert context.training is not None
        self.run(*tensors(self._program, context.training.take(context.training.spread(samples))))
        return {node: tuple(value.shape) for node, value in self.values.items()}


def _influence(program: TrainableProgram, pairs: dict[str, Pair], context: StepContext) -> dict[str, float]:
    """Returns the influence of each pair over SAMPLES samples of the training set; 0: it changes nothing."""
    run = _Shapes(program)
    run.of(context, SAMPLES)
    influence = {}
    for name, (before, after) in pairs.items():
        first, second = run.values[before].flatten(1), run.values[after].flatten(1)
        influence[name] = 1 - float(functional.cosine_similarity(first, second, dim=1).mean())
    return influence


def _reaches(node: Node, origin: Node) -> bool:
    """Returns whether ``node`` depends on ``origin``."""
    waiting, seen = [node], set()
    while waiting:
        current = waiting.pop()
        if current is origin:
            return True
        if current not in seen:
            seen.add(current)
            waiting.extend(current.all_input_nodes)
    return False


def _bypass(program: TrainableProgram, before: Node, after: Node) -> None:
    graph = program.module.graph
    after.replace_all_uses_with(before)
    graph.erase_node(after)
    graph.eliminate_dead_code()
    program.module.delete_all_unused_submodules()
    program.module.recompile()
