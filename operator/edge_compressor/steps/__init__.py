"""The steps of a recipe: one file for each type of the manifest, and the list of them.

A new step type is a file with a ``STEP`` and a line in ``STEPS``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_compressor.steps import clean_graph, quantize_dynamic, quantize_static
from edge_compressor.steps.step import Settings, Step, StepContext, failed, resolve

__all__ = ["STEPS", "PlannedStep", "Settings", "Step", "StepContext", "plan"]

STEPS: Final[Mapping[str, Step]] = {
    module.STEP.type: module.STEP for module in (clean_graph, quantize_dynamic, quantize_static)
}


@dataclass(frozen=True)
class PlannedStep:
    """A step of a manifest, understood: ``settings`` has every key."""

    name: str
    step: Step
    settings: Settings

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "type": self.step.type, "settings": dict(self.settings)}


def plan(steps: Sequence[Mapping[str, Any]]) -> tuple[PlannedStep, ...]:
    """The steps as they stand in the manifest, checked before anything is downloaded.

    Raises Stalled(StepFailed) for an unknown type, a name twice, a setting that does not exist.
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
    return tuple(planned)
