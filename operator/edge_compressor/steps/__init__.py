"""The steps of a recipe: one file for each type of the manifest, and the list of them.

A new step type is a file with a ``STEP`` and a line in ``STEPS``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_compressor.step_interface.step_type import Form, StepContext, StepType, failed, resolve
from edge_compressor.steps import (
    adapt_domain,
    auto,
    clean_graph,
    cluster_weights,
    convert,
    distill,
    fine_tune,
    low_rank,
    prune_channels,
    prune_layers,
    prune_weights,
    quantize_aware,
    quantize_dynamic,
    quantize_static,
)
from edgemodel.setting_kinds import Settings

__all__ = ["STEPS", "Form", "PlannedStep", "Settings", "StepContext", "StepType", "plan"]

STEPS: Final[Mapping[str, StepType]] = {
    module.STEP.type: module.STEP
    for module in (
        auto,
        clean_graph,
        prune_channels,
        prune_layers,
        low_rank,
        prune_weights,
        distill,
        fine_tune,
        adapt_domain,
        quantize_aware,
        cluster_weights,
        quantize_dynamic,
        quantize_static,
        convert,
    )
}


@dataclass(frozen=True)
class PlannedStep:
    """A step of a manifest, understood: ``settings`` has every key."""

    name: str
    step: StepType
    settings: Settings

    @property
    def needs(self) -> tuple[str, ...]:
        """Data sets that must be there."""
        at_once = self.step.trains_if and self.runs_on(Form.ONNX)
        return () if at_once else self.step.needs

    def runs_on(self, form: Form) -> bool:
        return self.step.runs_on(form, self.settings)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.step.type, "settings": dict(self.settings)}


def plan(steps: Sequence[Mapping[str, Any]], source: Form = Form.ONNX) -> tuple[PlannedStep, ...]:
    """The steps as they stand in the manifest, for a source of the form ``source``; checked before any download.

    Raises Stalled(StepFailed) for an unknown type, a name twice, a setting that does not exist, an order that makes
    no sense.
    """
    planned: list[PlannedStep] = []
    for position, given in enumerate(steps, 1):
        kind = str(given.get("type"))
        name = str(given.get("name") or f"{position}")
        if kind not in STEPS:
            raise failed(name, f"type {kind!r} does not exist; types are {', '.join(STEPS)}")
        step = STEPS[kind]
        if extra := sorted(given.keys() - {"name", "type", step.key}):
            raise failed(name, f"{', '.join(extra)} does not belong to type {kind}")
        if name in {other.name for other in planned}:
            raise failed(name, "this name is there twice")
        planned.append(PlannedStep(name, step, resolve(step, name, given.get(step.key) or {})))
    _check_order(planned, source)
    return tuple(planned)


def _check_order(planned: Sequence[PlannedStep], source: Form) -> None:
    """What is trained is trained before it becomes ONNX."""
    form, after = source, None
    for one in planned:
        if form is Form.PROGRAM and not one.runs_on(form):
            form, after = Form.ONNX, one
        if one.runs_on(form):
            if form is Form.PROGRAM and one.step.ends_training:
                form, after = Form.ONNX, one
            continue
        if after is None:
            message = f"{one.step.when_it_trains} trains the model, which an ONNX file does not allow"
            instead = f"give the source as ExportedProgram, or leave {one.step.what_trains} out"
            raise failed(one.name, f"{message}: {instead}")
        message = f"{one.step.type} comes after {after.name} ({after.step.type}), whose result cannot be trained"
        raise failed(one.name, f"{message}: put it before")
