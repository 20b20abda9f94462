"""The training of Distill, see ``steps/distill.py``."""

from contextlib import ExitStack
from pathlib import Path

from torch import Tensor, nn

from edge_compressor.step_interface.step_type import StepContext, failed
from edge_compressor.training import loop, losses
from edge_compressor.training.program import TrainableProgram, load, save
from edge_compressor.training.teachers import open_teacher
from edgemodel import reasons
from edgemodel.setting_kinds import Settings


def distill(model: Path, settings: Settings, context: StepContext) -> Path:
    """Runs the step on the program at ``model``, and returns the path of the trained program. Raises Stalled."""
    program = load(model, what=f"step {context.name}", reason=reasons.STEP_FAILED)
    path = context.teacher or context.program
    assert path is not None
    teach, teacher = open_teacher(path, program)
    schedule = loop.Schedule.of(settings)
    alpha, temperature = float(settings["alpha"]), float(settings["temperature"])
    weight = float(settings["intermediateWeight"])
    _check_task(program, teach(program.example()), context)
    with ExitStack() as stack:
        features = None
        if weight > 0:
            if teacher is None:
                raise failed(context.name, "intermediateWeight needs a teacher that is an ExportedProgram, not ONNX")
            features = stack.enter_context(_Features(program, teacher, settings["intermediateLayers"], context))

        def objective(batch: loop.Batch) -> Tensor:
            inputs, label = batch
            answers: Tensor = program.module(*inputs)[0]
            targets = teach(inputs)
            loss = alpha * losses.soft_targets(answers, targets, temperature)
            if alpha < 1:
                loss = loss + (1 - alpha) * losses.task_loss(answers, label)
            return loss if features is None else loss + weight * features.distance()

        loop.fit(program, objective, schedule, context)
    return save(program, context.folder / "distilled.pt2")


def _check_task(program: TrainableProgram, answer: Tensor, context: StepContext) -> None:
    program.module.eval()
    own: Tensor = program.module(*program.example())[0]
    if own.shape != answer.shape:
        message = f"the teacher answers shape {list(answer.shape)}, the model {list(own.shape)} for the same inputs"
        raise failed(context.name, f"{message}: it is a teacher of another task")


class _Features:
    """The latest outputs of the chosen layers of both models."""

    def __init__(
        self, student: TrainableProgram, teacher: TrainableProgram, names: list[str], context: StepContext
    ) -> None:
        own, theirs = dict(student.module.named_modules()), dict(teacher.module.named_modules())
        shapes = _shapes(student, own), _shapes(teacher, theirs)
        same = [
            name for name, shape in shapes[0].items()
            if name in shapes[1] and shapes[1][name][2:] == shape[2:] and len(shape) > 2
        ]  # fmt: skip
        if unknown := sorted(set(names) - set(same)):
            raise failed(context.name, f"intermediateLayers {', '.join(unknown)}: want some of {', '.join(same)}")
        last = {shapes[0][name][2:]: name for name in same}
        self._names = names or list(last.values())
        if not self._names:
            raise failed(context.name, "intermediateWeight: teacher and model have no layers of the same name and size")
        context.progress.say(f"comparing the layers {', '.join(self._names)}")
        self._sides = (own, theirs)
        self._seen: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})

    def __enter__(self) -> "_Features":
        self._hooks = [
            modules[name].register_forward_hook(_keeping(seen, name))
            for modules, seen in zip(self._sides, self._seen, strict=True)
            for name in self._names
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def distance(self) -> Tensor:
        own, theirs = self._seen
        total = sum(losses.attention_transfer(own[name], theirs[name]) for name in self._names)
        assert isinstance(total, Tensor)
        return total / len(self._names)


def _keeping(seen: dict[str, Tensor], name: str):  # type: ignore[no-untyped-def]  # a hook, as torch wants it
    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen[name] = output

    return keep


def _shapes(program: TrainableProgram, modules: dict[str, nn.Module]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the outputs of convolutions, in the order in which they run."""
    seen: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(_keeping(seen, name))
        for name, module in modules.items()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    program.module.eval()
    program.module(*program.example())
    for hook in hooks:
        hook.remove()
    return {name: tuple(output.shape) for name, output in seen.items()}
