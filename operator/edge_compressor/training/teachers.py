"""The teachers of Distill: an ExportedProgram or an ONNX file, as functions."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from edge_compressor.models import runtime
from edge_compressor.models.onnx_model import check_model
from edge_compressor.training.program import TrainableProgram, load
from edge_runtime.cores import usable_cores
from edgemodel import reasons
from edgemodel.errors import Stalled

Teacher = Callable[[tuple[Tensor, ...]], Tensor]
"""A function from inputs, in the order of the student's, to the first output."""


def open_teacher(path: Path, student: TrainableProgram) -> tuple[Teacher, TrainableProgram | None]:
    """Returns the teacher, and its program if it is one. Raises Stalled(SourceInvalid) if it cannot be loaded, or takes
    other inputs than ``student``."""
    if path.open("rb").read(2) != b"PK":
        return _from_onnx(path, student), None
    program = load(path, what="teacher", reason=reasons.SOURCE_INVALID)
    _check_inputs([(one.name, list(one.shape[1:])) for one in program.inputs], student)
    positions = [[own.name for own in student.inputs].index(one.name) for one in program.inputs]
    program.module.eval().requires_grad_(False)

    @torch.no_grad()
    def ask(inputs: tuple[Tensor, ...]) -> Tensor:
        answer: Tensor = program.module(*(inputs[position] for position in positions))[0]
        return answer

    return ask, program


def _from_onnx(path: Path, student: TrainableProgram) -> Teacher:
    model = check_model(path, what="teacher")
    _check_inputs([(tensor.name, list(tensor.shape[1:])) for tensor in model.inputs], student)
    loaded = runtime.load_onnx(path, threads=usable_cores())

    def ask(inputs: tuple[Tensor, ...]) -> Tensor:
        feeds = {one.name: value.numpy() for one, value in zip(student.inputs, inputs, strict=True)}
        return torch.from_numpy(runtime.run(loaded, feeds)[0])

    return ask


def _check_inputs(theirs: list[tuple[str, list[int]]], student: TrainableProgram) -> None:
    ours = [(one.name, list(one.shape[1:])) for one in student.inputs]
    if sorted(theirs) != sorted(ours):
        message = f"teacher: it takes {_listed(theirs)}, the model takes {_listed(ours)}"
        raise Stalled(
            reasons.SOURCE_INVALID, f"{message}: a teacher takes the same inputs as the model that it teaches"
        )


def _listed(inputs: list[tuple[str, list[int]]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in inputs)
