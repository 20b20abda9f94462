"""Source -> steps -> evaluate -> gate -> artifact folder, for every recipe of an order.

Publishing is not done here: the caller does it once all recipes passed, so that a revision is whole or not
there. A missed budget is a value (``Compressed.decision``), not an exception.
"""

import contextlib
import importlib.metadata
import io
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_compressor import evaluate, runtime
from edge_compressor.datasets import Dataset, describe, load_dataset, shared_samples
from edge_compressor.gate import Budget, Decision, Measurements, drop_json, judge, parse_budget
from edge_compressor.golden import record_golden, sample_feeds
from edge_compressor.model import Model, check_model, check_same_interface
from edge_compressor.package import describe_file, write_notes
from edge_compressor.progress import Progress
from edge_compressor.runtime import Array
from edge_compressor.source import WHAT, Fetched, Fetcher, Use
from edge_compressor.steps import PlannedStep, StepContext, plan
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.digest import canonical_json
from edgemodel.errors import EdgeModelError, Stalled
from edgemodel.names import GOLDEN_FILE, MODEL_FILE
from edgemodel.task import Location, Recipe

LIBRARIES = ("numpy", "onnx", "onnxruntime", "onnxslim", "zstandard")
_FEEDS_TIMED = 16


@dataclass(frozen=True)
class Order:
    """What is to be compressed, whoever asks."""

    model: str
    fingerprint: str
    source: Location
    calibration: Location | None
    evaluation: Location | None
    recipes: tuple[Recipe, ...]
    budget: dict[str, Any]
    golden_items: int = 64
    source_format: str = "ONNX"


@dataclass(frozen=True)
class Compressed:
    """One recipe, done. ``folder`` holds the artifact's files and nothing else."""

    folder: Path
    manifest: ArtifactManifest
    decision: Decision
    size_bytes: int
    source_size_bytes: int
    evaluation: evaluate.Evaluation | None
    latency: evaluate.Latency | None


@dataclass(frozen=True)
class Input:
    """A data set, with where it is from."""

    dataset: Dataset
    fetched: Fetched

    def to_json(self) -> dict[str, Any]:
        return {"uri": self.fetched.uri, "digest": self.fetched.digest, **describe(self.dataset)}


def run(order: Order, fetcher: Fetcher, work: Path, progress: Progress) -> tuple[Compressed, ...]:
    """All recipes of ``order``, in order; ``work`` is an empty folder.

    Raises Stalled or Transient, whose message names the cause; MemoryError passes through.
    """
    if order.source_format != "ONNX":
        raise Stalled(reasons.SOURCE_INVALID, f"source: format {order.source_format} is not supported, want ONNX")
    try:
        budget = parse_budget(order.budget)
    except ValueError as error:
        raise Stalled(reasons.INVALID_SPEC, str(error)) from error
    planned = [(recipe, plan(recipe.steps)) for recipe in order.recipes]
    bench = _Bench.set_up(order, fetcher, work, progress)
    if bench.calibration is None:
        _refuse_without_calibration(planned)
    done: dict[bytes, _Result] = {}
    compressed = []
    for number, (recipe, steps) in enumerate(planned):
        key = canonical_json([step.to_json() for step in steps])
        with _naming(recipe.variant if len(planned) > 1 else None):
            if key not in done:
                done[key] = bench.compress(steps, budget, work / f"recipe-{number}")
            compressed.append(bench.finish(done[key], order, recipe.variant, work / "artifacts" / recipe.variant))
    return tuple(compressed)


def overall(results: Iterable[Compressed]) -> Compressed | None:
    """The result that keeps the revision from being published: a missed budget before an open question; else None."""
    stopped = [result for result in results if result.decision.reason is not None]
    missed = [result for result in stopped if result.decision.reason == reasons.BUDGET_EXCEEDED]
    return next(iter(missed or stopped), None)


@dataclass(frozen=True)
class _Result:
    """A recipe without the name of a variant: variants may share it."""

    folder: Path
    artifact: Model
    decision: Decision
    evidence: dict[str, Any]
    evaluation: evaluate.Evaluation | None
    latency: evaluate.Latency | None
    golden: Any


@dataclass
class _Bench:
    """What all recipes share: source and data sets, and what was measured of the source already."""

    source: Model
    fetched: Fetched
    source_zstd_bytes: int
    calibration: Input | None
    evaluation: Input | None
    golden_items: int
    progress: Progress
    predictions: dict[str, Array] = field(default_factory=dict)
    """By digest of the model file."""

    @classmethod
    def set_up(cls, order: Order, fetcher: Fetcher, work: Path, progress: Progress) -> "_Bench":
        work.mkdir(parents=True, exist_ok=True)
        fetched = fetcher.fetch(order.source, "source", work / "source.onnx")
        progress.say(f"checking the source, {fetched.path.stat().st_size} bytes")
        source = check_model(fetched.path)

        def load(location: Location | None, use: Use) -> Input | None:
            if location is None:
                return None
            file = fetcher.fetch(location, use, work / f"{use}.npz")
            dataset = load_dataset(file.path, source, work / use, what=WHAT[use])
            file.path.unlink()  # unpacked by now; two copies of a large set may not fit
            progress.say(f"{WHAT[use]}: {dataset.size} samples")
            return Input(dataset, file)

        calibration, evaluation = load(order.calibration, "calibration"), load(order.evaluation, "evaluation")
        progress.say("compressing the source with zstd, for comparison")
        size = evaluate.zstd_size(source.path)
        return cls(source, fetched, size, calibration, evaluation, order.golden_items, progress)

    def compress(self, steps: tuple[PlannedStep, ...], budget: Budget, folder: Path) -> _Result:
        artifact, history = self._apply(steps, folder)
        evaluation, latency = self._evaluate(artifact), self._time(artifact)
        same_file = artifact.digest == self.source.digest
        decision = judge(
            Measurements(
                answers=evaluation.answers if evaluation else None,
                same_file=same_file,
                size_bytes=artifact.size_bytes,
                latency_milliseconds=latency.artifact.p50 if latency else None,
                latency_runs=latency.runs if latency else 0,
            ),
            budget,
        )
        for check in decision.checks:
            self.progress.say(f"{check.verdict}: {check.message}")
        zstd_bytes = self.source_zstd_bytes if same_file else evaluate.zstd_size(artifact.path)
        golden = record_golden(artifact, self._evaluation_set, self.golden_items, folder / GOLDEN_FILE)
        evidence = {
            "source": {
                **describe_file(self.source.path, self.source.digest, self.source_zstd_bytes),
                "uri": self.fetched.uri,
            },
            "artifact": describe_file(artifact.path, artifact.digest, zstd_bytes),
            "steps": history,
            "datasets": self._datasets(),
            "notes": self._notes(),
            "evaluation": _evaluation_json(evaluation),
            "latency": _latency_json(latency),
            "budget": {"limits": _limits(budget), "checks": [check.to_json() for check in decision.checks]},
            "hardware": runtime.hardware(),
            "libraries": _libraries(),
        }
        return _Result(folder, artifact, decision, evidence, evaluation, latency, golden)

    def finish(self, result: _Result, order: Order, variant: str, folder: Path) -> Compressed:
        """The artifact's folder for one variant."""
        folder.mkdir(parents=True)
        shutil.copyfile(result.artifact.path, folder / MODEL_FILE)
        if result.golden is not None:
            shutil.copyfile(result.folder / GOLDEN_FILE, folder / GOLDEN_FILE)
        manifest = ArtifactManifest(
            model=order.model,
            fingerprint=order.fingerprint,
            variant=variant,
            source_digest=self.fetched.digest,
            artifact_digest=result.artifact.digest,
            inputs=result.artifact.inputs,
            outputs=result.artifact.outputs,
            golden=result.golden,
            evidence=result.evidence,
        )
        write_notes(folder, manifest)
        return Compressed(
            folder=folder,
            manifest=manifest,
            decision=result.decision,
            size_bytes=result.artifact.size_bytes,
            source_size_bytes=self.source.size_bytes,
            evaluation=result.evaluation,
            latency=result.latency,
        )

    @property
    def _evaluation_set(self) -> Dataset | None:
        return self.evaluation.dataset if self.evaluation else None

    def _apply(self, steps: tuple[PlannedStep, ...], folder: Path) -> tuple[Model, list[dict[str, Any]]]:
        folder.mkdir()
        current, history = self.source, []
        for number, step in enumerate(steps):
            self.progress.say(f"step {step.name} ({step.step.type})")
            own = folder / f"step-{number}"
            own.mkdir()
            context = StepContext(step.name, own, self.calibration.dataset if self.calibration else None, self.progress)
            path = _apply_step(step, current.path, context)
            current = check_model(path, what=f"step {step.name}: its result", reason=reasons.STEP_FAILED)
            check_same_interface(self.source, current)
            self.progress.say(f"step {step.name} done: {current.size_bytes} bytes")
            history.append({**step.to_json(), "sizeBytes": current.size_bytes, "digest": current.digest})
        return current, history

    def _evaluate(self, artifact: Model) -> evaluate.Evaluation | None:
        dataset = self._evaluation_set
        if dataset is None:
            return None
        if dataset.label is None:
            return evaluate.compare_values(self.source, artifact, dataset, self.progress)
        for model, what in ((self.source, "source"), (artifact, "artifact")):
            if model.digest not in self.predictions:
                self.progress.say(f"evaluating {what} on {dataset.size} samples")
                self.predictions[model.digest] = evaluate.predict(model, dataset, self.progress, what=what)
        return evaluate.compare_classes(
            dataset, self.predictions[self.source.digest], self.predictions[artifact.digest]
        )

    def _time(self, artifact: Model) -> evaluate.Latency | None:
        feeds = sample_feeds(artifact, self._evaluation_set, _FEEDS_TIMED)
        if not feeds:
            return None
        try:
            return evaluate.time_both(self.source, artifact, feeds, self.progress)
        except EdgeModelError:
            if self.evaluation is None:  # made-up inputs need not make sense to a model
                return None
            raise

    def _datasets(self) -> dict[str, Any]:
        given = {"calibration": self.calibration, "evaluation": self.evaluation}
        return {name: item.to_json() for name, item in given.items() if item is not None}

    def _notes(self) -> list[str]:
        """What a reader should know before believing the figures: sets that should be disjoint and are not."""
        if not self.calibration or not self.evaluation:
            return []
        shared = shared_samples(self.calibration.dataset, self.evaluation.dataset)
        of = self.evaluation.dataset.size
        return [f"{shared} of {of} samples of the evaluation set are in the calibration set too"] if shared else []


@contextlib.contextmanager
def _naming(variant: str | None) -> Any:
    """Failures of one of several recipes say which."""
    try:
        yield
    except EdgeModelError as error:
        if variant is None:
            raise
        raise type(error)(error.reason, f"variant {variant}: {error.message}") from error


def _apply_step(step: PlannedStep, model: Path, context: StepContext) -> Path:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # onnxruntime prints for each feed
            return step.step.apply(model, step.settings, context)
    except (EdgeModelError, MemoryError):
        raise
    except Exception as error:
        # The libraries below raise anything for graphs they were not made for.
        cause = f"{type(error).__name__}: {str(error)[:500]}"
        message = f"step {step.name}: {step.step.type} cannot be applied to this model: {cause}"
        raise Stalled(reasons.STEP_FAILED, message) from error


def _refuse_without_calibration(planned: Iterable[tuple[Recipe, tuple[PlannedStep, ...]]]) -> None:
    for _, steps in planned:
        for step in steps:
            if step.step.needs_calibration:
                message = f"step {step.name}: {step.step.type} needs datasets.calibration: typical inputs, no labels"
                raise Stalled(reasons.STEP_FAILED, message)


def _evaluation_json(evaluation: evaluate.Evaluation | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    return {
        "samples": evaluation.samples,
        "agreementPercent": round(evaluation.agreement * 100, 4),
        "agreementKind": evaluation.agreement_kind,
        "source": evaluation.source.to_json() if evaluation.source else None,
        "artifact": evaluation.artifact.to_json() if evaluation.artifact else None,
        "accuracyDrop": drop_json(evaluation.answers) if evaluation.answers else None,
    }


def _latency_json(latency: evaluate.Latency | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    return {
        "runs": latency.runs,
        "threads": 1,
        "source": latency.source.to_json(),
        "artifact": latency.artifact.to_json(),
    }


def _limits(budget: Budget) -> Mapping[str, Any]:
    def text(number: Decimal | None) -> str | None:
        return None if number is None else str(number)

    return {
        "maxAccuracyDropPercent": text(budget.max_accuracy_drop_percent),
        "maxSizeBytes": budget.max_size_bytes,
        "maxLatencyMilliseconds": text(budget.max_latency_milliseconds),
        "whenInconclusive": budget.when_inconclusive,
    }


def _libraries() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in LIBRARIES}}
