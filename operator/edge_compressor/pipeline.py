"""Source -> steps -> evaluate -> gate -> artifact folder, for every recipe of an order.

Publishing is not done here: the caller does it once all recipes passed, so that a revision is whole or not
there. A missed budget is a value (``Compressed.decision``), not an exception.
"""

import contextlib
import errno
import functools
import hashlib
import importlib.metadata
import io
import platform
import shutil
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from edge_compressor import runtime
from edge_compressor.checkpoints.store import Checkpoints
from edge_compressor.datasets import Dataset, describe, load_dataset, shared_samples
from edge_compressor.evaluation import (
    Evaluation,
    Evaluator,
    LatencyComparison,
    instruction_sets,
    stateful,
    time_both,
    zstd_size,
)
from edge_compressor.evaluation.golden_set import record_golden, sample_feeds
from edge_compressor.gate import Budget, GateResult, Measurements, judge, parse_budget
from edge_compressor.models.onnx_model import OnnxModel, check_model, check_same_interface
from edge_compressor.progress import Progress
from edge_compressor.reports import write_reports
from edge_compressor.sources.fetcher import WHAT, Fetched, Fetches, Use
from edge_compressor.steps import Form, PlannedStep, StepContext, plan
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.digest import canonical_json, digest_of_file
from edgemodel.errors import EdgeModelError, Stalled
from edgemodel.names import GOLDEN_FILE
from edgemodel.task import AUTO, Location, Recipe

LIBRARIES = ("numpy", "onnx", "onnxruntime", "onnxslim", "zstandard")
TRAINING_LIBRARIES = ("onnxscript", "torch", "torch-pruning")
"""Of an image that the others are not in: only where the source is a program."""
DATASETS: Final[tuple[Use, ...]] = ("calibration", "evaluation", "training", "unlabeled")
NEEDED: Final = {
    "calibration": "typical inputs, no labels",
    "evaluation": "inputs and label; every other sample is to choose by, the rest to report on",
    "training": "inputs and label, none of them in the evaluation set",
    "unlabeled": "inputs of the domain where the model will serve, no labels",
}
ALONG_SEQUENCES: Final = ("calibration", "evaluation")
"""Sets whose samples are sequences where the model has a state; training takes steps as they are."""
MAX_STEPS: Final = 2048
SUFFIXES: Final = {Form.ONNX: ".onnx", Form.PROGRAM: ".pt2"}
_FEEDS_TIMED = 16


@dataclass(frozen=True)
class Order:
    """What is to be compressed, whoever asks."""

    model: str
    fingerprint: str
    source: Location
    datasets: Mapping[str, Location]
    """By ``edge_compressor.sources.fetcher.Use``; those that are not there are not given."""
    recipes: tuple[Recipe, ...]
    budget: dict[str, Any]
    golden_items: int = 64
    source_format: str = "ONNX"
    teacher: Location | None = None
    checkpoints: Checkpoints | None = None
    """Where training keeps how far it is; None: nowhere."""
    task: str = AUTO
    """One of ``edgemodel.task.EVALUATION_TASKS``."""
    tolerance: str | None = None
    """Of Regression: the largest error that is right, a decimal text in the unit of the labels; None: its default."""
    states: Mapping[str, str] = field(default_factory=dict)
    """By input of the source: its output that is this input at the next step."""
    teacher_format: str = "ONNX"


@dataclass(frozen=True)
class Compressed:
    """One recipe, done. ``folder`` holds the artifact's files and nothing else."""

    folder: Path
    manifest: ArtifactManifest
    decision: GateResult
    size_bytes: int
    source_size_bytes: int
    evaluation: Evaluation | None
    latency: LatencyComparison | None


@dataclass(frozen=True)
class FetchedDataset:
    """A data set, with where it is from."""

    dataset: Dataset
    fetched: Fetched

    def to_json(self) -> dict[str, Any]:
        return {"uri": self.fetched.uri, "digest": self.fetched.digest, **describe(self.dataset)}


def run(order: Order, fetcher: Fetches, work: Path, progress: Progress) -> tuple[Compressed, ...]:
    """All recipes of ``order``, in order; ``work`` is an empty folder.

    Raises Stalled or Transient, whose message names the cause; MemoryError passes through.
    """
    for what, given in (("source", order.source_format), ("teacher", order.teacher_format)):
        if given not in set(Form):
            wanted = " or ".join(Form)
            raise Stalled(reasons.SOURCE_INVALID, f"{what}: format {given} is not supported, want {wanted}")
    try:
        budget = parse_budget(order.budget)
    except ValueError as error:
        raise Stalled(reasons.INVALID_SPEC, str(error)) from error
    planned = [(recipe, plan(recipe.steps, Form(order.source_format))) for recipe in order.recipes]
    _refuse_without_data(planned, order.datasets)
    bench = _Bench.set_up(order, fetcher, work, progress)
    done: dict[bytes, _Result] = {}
    compressed = []
    for number, (recipe, steps) in enumerate(planned):
        key = canonical_json([step.to_json() for step in steps])
        progress.variant = recipe.variant if len(planned) > 1 else ""
        with _naming(progress.variant):
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
    artifact: OnnxModel
    decision: GateResult
    evidence: dict[str, Any]
    evaluation: Evaluation | None
    latency: LatencyComparison | None
    golden: Any


@dataclass
class _Bench:
    """What all recipes share: source and data sets, and what was measured of the source already."""

    source: OnnxModel
    """As ONNX, whatever it was given as."""
    program: Path | None
    """The source as it was given, where that was an ExportedProgram."""
    teacher: Path | None
    fetched: Fetched
    source_zstd_bytes: int
    datasets: Mapping[Use, FetchedDataset]
    golden_items: int
    progress: Progress
    checkpoints: Checkpoints | None
    evaluator: Evaluator

    @classmethod
    def set_up(cls, order: Order, fetcher: Fetches, work: Path, progress: Progress) -> "_Bench":
        evaluator = Evaluator(progress, order.task, order.tolerance)
        work.mkdir(parents=True, exist_ok=True)
        fetched = fetcher.fetch(order.source, "source", work / f"source{SUFFIXES[Form(order.source_format)]}")
        progress.say(f"checking the source, {fetched.path.stat().st_size} bytes")
        what, reason = "source", reasons.SOURCE_INVALID
        if fetched.converter is not None:
            what, reason = "what the converter wrote", reasons.CONVERTER_FAILED
        program = None
        if order.source_format == Form.PROGRAM:
            program = fetched.path
            source = check_model(_to_onnx(program, work / "source.onnx", what, reason), what=what, reason=reason)
        else:
            source = check_model(fetched.path, what=what, reason=reason)
        stateful.check(source, order.states)
        teacher = None
        if order.teacher is not None:
            to = work / f"teacher{SUFFIXES[Form(order.teacher_format)]}"
            teacher = fetcher.fetch(order.teacher, "teacher", to).path
        datasets: dict[Use, FetchedDataset] = {}
        for use in DATASETS:
            if use in order.datasets:
                file = fetcher.fetch(order.datasets[use], use, work / f"{use}.npz")
                states = order.states if use in ALONG_SEQUENCES else None
                dataset = load_dataset(file.path, source, work / use, what=WHAT[use], states=states)
                file.path.unlink()  # unpacked by now; two copies of a large set may not fit
                progress.say(f"{WHAT[use]}: {dataset.size} samples")
                datasets[use] = FetchedDataset(dataset, file)
        progress.say("compressing the source with zstd, for comparison")
        size = zstd_size(source.path)
        return cls(
            source,
            program,
            teacher,
            fetched,
            size,
            datasets,
            order.golden_items,
            progress,
            order.checkpoints,
            evaluator,
        )

    def compress(self, steps: tuple[PlannedStep, ...], budget: Budget, folder: Path) -> _Result:
        selection, report = self._split(steps)
        artifact, history = self._apply(steps, folder, selection, budget)
        evaluated, latency = self._evaluate(artifact, report), self._time(artifact, report)
        same_file = artifact.digest == self.source.digest
        decision = judge(
            Measurements(
                answers=evaluated.answers if evaluated else None,
                same_file=same_file,
                size_bytes=artifact.size_bytes,
                latency_milliseconds=latency.artifact.p50 if latency else None,
                latency_runs=latency.runs if latency else 0,
                own=evaluated.own if evaluated else None,
                metric=evaluated.metric if evaluated else "accuracy",
            ),
            budget,
        )
        for check in decision.checks:
            self.progress.say(f"{check.verdict}: {check.message}")
        zstd_bytes = self.source_zstd_bytes if same_file else zstd_size(artifact.path)
        weights = instruction_sets.weight_range(artifact.path)
        if warning := instruction_sets.warning(weights, history):
            self.progress.say(f"warning: {warning}")
        golden = record_golden(artifact, report, self.golden_items, folder / GOLDEN_FILE)
        evidence = {
            "source": {
                **_describe_file(self.source.path, self.source.digest, self.source_zstd_bytes),
                "uri": self.fetched.uri,
                **({"converter": dict(self.fetched.converter)} if self.fetched.converter else {}),
            },
            "artifact": _describe_file(artifact.path, artifact.digest, zstd_bytes),
            "steps": history,
            "datasets": {use: item.to_json() for use, item in self.datasets.items()},
            "notes": [*self._notes(selection), *([warning] if warning else [])],
            "evaluation": evaluated.to_json() if evaluated else None,
            "weightRange": weights.to_json(),
            "latency": _latency_json(latency),
            "budget": {"limits": _limits(budget), "checks": [check.to_json() for check in decision.checks]},
            "hardware": runtime.hardware(),
            "libraries": _libraries((*LIBRARIES, *(TRAINING_LIBRARIES if self.program else ()))),
        }
        return _Result(folder, artifact, decision, evidence, evaluated, latency, golden)

    def finish(self, result: _Result, order: Order, variant: str, folder: Path) -> Compressed:
        """The artifact's folder for one variant."""
        folder.mkdir(parents=True)
        shutil.copyfile(result.artifact.path, folder / result.artifact.published_name)
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
            runtime=result.artifact.runtime,
            model_file=result.artifact.published_name,
            evidence=result.evidence,
        )
        write_reports(folder, manifest)
        return Compressed(
            folder=folder,
            manifest=manifest,
            decision=result.decision,
            size_bytes=result.artifact.size_bytes,
            source_size_bytes=self.source.size_bytes,
            evaluation=result.evaluation,
            latency=result.latency,
        )

    def _of(self, use: Use) -> Dataset | None:
        return self.datasets[use].dataset if use in self.datasets else None

    @functools.cached_property
    def _calibration(self) -> Dataset | None:
        """Of sequences: steps, each with the state that the source has there."""
        given = self._of("calibration")
        return None if given is None else stateful.steps_of(given, self.source, MAX_STEPS, "source")

    def _split(self, steps: tuple[PlannedStep, ...]) -> tuple[Dataset | None, Dataset | None]:
        """(what a step may choose by, what the result is measured on): they share no sample."""
        evaluation = self._of("evaluation")
        if evaluation is None or not any(step.step.selects for step in steps):
            return None, evaluation
        if evaluation.size < 2:
            message = f"evaluation set: {evaluation.size} sample, and half of it is to choose by: give more"
            raise Stalled(reasons.DATASET_INVALID, message)
        return evaluation.halves()

    def _apply(
        self, steps: tuple[PlannedStep, ...], folder: Path, selection: Dataset | None, budget: Budget
    ) -> tuple[OnnxModel, list[dict[str, Any]]]:
        folder.mkdir()
        program, current, history = self.program, self.source, []
        for number, step in enumerate(steps):
            self.progress.begin_step(step.name, step.step.type, number, len(steps))
            own = folder / f"step-{number}"
            own.mkdir()
            notes: dict[str, Any] = {}
            context = StepContext(
                name=step.name,
                folder=own,
                calibration=self._calibration,
                progress=self.progress,
                source=self.source,
                selection=selection,
                training=self._of("training"),
                unlabeled=self._of("unlabeled"),
                teacher=self.teacher,
                program=self.program,
                budget=budget,
                task=self.evaluator.task,
                tolerance=self.evaluator.tolerance,
                notes=notes,
                checkpoints=self.checkpoints,
                key=self._key(steps[: number + 1]),
            )
            if program is not None and step.runs_on(Form.PROGRAM):
                path = _apply_step(step, Form.PROGRAM, program, context)
                program = None if step.step.ends_training else path
                if program is not None:
                    what = f"step {step.name}: its result"
                    path = _to_onnx(program, own / "exported.onnx", what, reasons.STEP_FAILED)
            else:
                program = None
                path = _apply_step(step, Form.ONNX, current.path, context)
            current = check_model(path, what=f"step {step.name}: its result", reason=reasons.STEP_FAILED)
            check_same_interface(self.source, current)
            self.progress.say(f"step {step.name} done: {current.size_bytes} bytes")
            history.append({**step.to_json(), "sizeBytes": current.size_bytes, "digest": current.digest, **notes})
        return current, history

    def _key(self, steps: Iterable[PlannedStep]) -> str:
        read = {use: item.fetched.digest for use, item in self.datasets.items()}
        teacher = digest_of_file(self.teacher) if self.teacher else None
        what = [self.fetched.digest, read, teacher, [step.to_json() for step in steps]]
        if self.fetched.converter is not None:
            what.append(self.fetched.converter["digest"])
        return hashlib.sha256(canonical_json(what)).hexdigest()

    def _evaluate(self, artifact: OnnxModel, dataset: Dataset | None) -> Evaluation | None:
        return None if dataset is None else self.evaluator.evaluate(self.source, artifact, dataset)

    def _time(self, artifact: OnnxModel, dataset: Dataset | None) -> LatencyComparison | None:
        feeds = sample_feeds(artifact, dataset, _FEEDS_TIMED)
        if not feeds:
            return None
        try:
            return time_both(self.source, artifact, feeds, self.progress)
        except EdgeModelError:
            if dataset is None:  # made-up inputs need not make sense to a model
                return None
            raise

    def _notes(self, selection: Dataset | None) -> list[str]:
        """What a reader should know before believing the figures: sets that should be disjoint and are not."""
        notes = []
        if selection is not None:
            notes.append(f"{selection.size} samples of the evaluation set were used to choose, the others are reported")
        evaluation = self._of("evaluation")
        for use in ("calibration", "training"):
            other = self._of(use)
            if other is None or evaluation is None:
                continue
            if shared := shared_samples(other, evaluation):
                notes.append(f"{shared} of {evaluation.size} samples of the evaluation set are in the {use} set too")
        return notes


def _to_onnx(program: Path, to: Path, what: str, reason: str) -> Path:
    """Raises Stalled with ``reason``."""
    from edge_compressor.training import program as programs  # torch, which ONNX sources do without

    return programs.to_onnx(program, to, what=what, reason=reason)


@contextlib.contextmanager
def _naming(variant: str) -> Any:
    """Failures of one of several recipes say which."""
    try:
        yield
    except EdgeModelError as error:
        if not variant:
            raise
        raise type(error)(error.reason, f"variant {variant}: {error.message}") from error


def _apply_step(step: PlannedStep, form: Form, model: Path, context: StepContext) -> Path:
    apply = step.step.apply if form is Form.ONNX else step.step.apply_program
    assert apply is not None, f"{step.step.type} does not run on {form}"
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # onnxruntime prints for each feed
            return apply(model, step.settings, context)
    except (EdgeModelError, MemoryError):
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"step {step.name}: no space is left for its results; the data sets, unpacked, lie beside them"
        raise Stalled(reasons.STEP_FAILED, f"{message}: give smaller ones, or a smaller model") from error
    except Exception as error:
        if "allocate memory" in str(error):  # what torch says, in a RuntimeError
            raise MemoryError(str(error)) from error
        # The libraries below raise anything for graphs they were not made for.
        cause = f"{type(error).__name__}: {str(error)[:500]}"
        message = f"step {step.name}: {step.step.type} cannot be applied to this model: {cause}"
        raise Stalled(reasons.STEP_FAILED, message) from error


def _refuse_without_data(planned: Iterable[tuple[Recipe, tuple[PlannedStep, ...]]], given: Container[str]) -> None:
    for _, steps in planned:
        for step in steps:
            for use in step.needs:
                if use not in given:
                    message = f"step {step.name}: {step.step.when_it_trains} needs datasets.{use}: {NEEDED[use]}"
                    raise Stalled(reasons.STEP_FAILED, message)


def _latency_json(latency: LatencyComparison | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    return {
        "runs": latency.runs,
        "threads": 1,
        "source": latency.source.to_json(),
        "artifact": latency.artifact.to_json(),
    }


def _describe_file(path: Path, digest: str, zstd_bytes: int) -> dict[str, Any]:
    return {"digest": digest, "sizeBytes": path.stat().st_size, "zstdBytes": zstd_bytes}


def _limits(budget: Budget) -> Mapping[str, Any]:
    def text(number: Decimal | None) -> str | None:
        return None if number is None else str(number)

    return {
        "maxAccuracyDropPercent": text(budget.max_accuracy_drop_percent),
        "minAccuracyPercent": text(budget.min_accuracy_percent),
        "maxSizeBytes": budget.max_size_bytes,
        "maxLatencyMilliseconds": text(budget.max_latency_milliseconds),
        "whenInconclusive": budget.when_inconclusive,
    }


def _libraries(names: Iterable[str]) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}
