"""The step types, one file per type, and their list.

A new step type needs a file with a ``STEP`` and a line in ``STEPS``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_compressor.step_interface.step_type import StepContext, StepType, failed, resolve
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
    quantize_weights,
)
from edgemodel.compression_request import EXPORTED_PROGRAM, ONNX
from edgemodel.setting_kinds import Settings

__all__ = ["STEPS", "PlannedStep", "Settings", "StepContext", "StepType", "plan"]

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
        quantize_weights,
        convert,
    )
}


@dataclass(frozen=True)
class PlannedStep:
    """A parsed step of a manifest; ``settings`` has every key."""

    name: str
    step: StepType
    settings: Settings

    @property
    def needs(self) -> tuple[str, ...]:
        """The datasets that the step requires."""
        at_once = self.step.trains_if and self.takes(ONNX)
        return () if at_once else self.step.needs

    def takes(self, model_format: str) -> bool:
        """Returns whether the step takes a model of this format."""
        return self.step.takes(model_format, self.settings)

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        return {"name": self.name, "type": self.step.type, "settings": dict(self.settings)}


def plan(steps: Sequence[Mapping[str, Any]], source: str = ONNX, artifact: str = ONNX) -> tuple[PlannedStep, ...]:
    """Returns the steps of a manifest, checked before any download.

    ``source`` is the format of the model before the first step, ``artifact`` its format once it can no longer be
    trained. Raises Stalled(StepFailed) for an unknown type or setting, a duplicate name, an invalid order, or a format
    that a step does not take.
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
    _check_order(planned, source, artifact)
    return tuple(planned)


def _check_order(planned: Sequence[PlannedStep], source: str, artifact: str) -> None:
    """Raises Stalled(StepFailed) if a step would get the model in a format that it does not take."""
    now, after = source, None
    for one in planned:
        if now != artifact and not one.takes(now):
            now, after = artifact, one
        if one.takes(now):
            if now != artifact and one.step.ends_training:
                now, after = artifact, one
            continue
        if not (one.step.trains and not one.takes(ONNX)):
            raise failed(one.name, f"{one.step.type} takes {' or '.join(one.step.apply)}, and the model is {now} there")
        if after is None:
            message = f"{one.step.when_it_trains} trains the model, which an {now} file does not allow"
            instead = f"give the source as {EXPORTED_PROGRAM}, or leave {one.step.what_trains} out"
            raise failed(one.name, f"{message}: {instead}")
        message = f"{one.step.type} comes after {after.name} ({after.step.type}), whose result cannot be trained"
        raise failed(one.name, f"{message}: put it before")
