"""The pipeline of every recipe in a request: source, steps, evaluation, gate, artifact folder.

It does not publish: the caller does so once all recipes passed, so that a revision is complete or absent. A missed
budget is a value (``Compressed.decision``), not an exception.
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import io
import platform
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from edge_compressor import child_process
from edge_compressor.checkpoints.store import Checkpoints
from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import Evaluation, LatencyComparison, instruction_sets, time_both, transfer_bytes
from edge_compressor.evaluation.first_sample import refuse_a_crash
from edge_compressor.evaluation.golden_set import record_golden, sample_feeds
from edge_compressor.evaluation.relative_error import RelativeErrors, far_off, measure_error
from edge_compressor.formats import FORMATS, SourceFormat, model_format
from edge_compressor.gate import GateResult, Measurements, WorstOutput, judge
from edge_compressor.library_errors import explained
from edge_compressor.models import runtime
from edge_compressor.models.checked import check_file
from edge_compressor.models.generator import describe_generator
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import check_same_interface, with_weights_outside
from edge_compressor.models.weight_files import link_or_copy, place_beside
from edge_compressor.progress import Progress
from edge_compressor.reports import write_reports
from edge_compressor.sources.fetcher import WHAT, Fetches, Use
from edge_compressor.steps import PlannedStep, StepContext, plan
from edge_compressor.workspace import FetchedSource, Workspace, files_of
from edgemodel import reasons
from edgemodel.artifact import ArtifactFile, ArtifactManifest
from edgemodel.caller_signature import CallerSignature
from edgemodel.compression_request import BY_CONTENT, EXPORTED_PROGRAM, CompressionRequest, Recipe
from edgemodel.digest import canonical_json, digest_of_file
from edgemodel.errors import EdgeModelError, Stalled
from edgemodel.names import GOLDEN_FILE
from edgemodel.plain import to_api

LIBRARIES = ("numpy", "onnx", "onnxruntime", "onnxslim", "zstandard")
TRAINING_LIBRARIES = ("onnxscript", "torch", "torch-pruning")
"""The libraries of the trainer's image; the manifest has their versions only if the source can be trained."""
NEEDED: Final = {
    "calibration": "typical inputs, no labels",
    "evaluation": "inputs and label; one half of the samples selects, the other half is reported",
    "training": "inputs and label, none of them in the evaluation set",
    "unlabeled": "inputs of the domain where the model will serve, no labels",
}
_FOR_STEPS: Final[frozenset[Use]] = frozenset({"training", "unlabeled"})
"""The data sets that only steps read; the gate reads the evaluation set, or without it the calibration set."""
_FEEDS_TIMED = 16


@dataclass(frozen=True)
class Compressed:
    """The result of one recipe. ``folder`` holds the artifact's files and nothing else."""

    folder: Path
    manifest: ArtifactManifest
    decision: GateResult
    size_bytes: int
    source_size_bytes: int
    evaluation: Evaluation | None
    latency: LatencyComparison | None
    signature: CallerSignature
    """The signature of the source, as callers see it."""


def run(
    request: CompressionRequest,
    model: str,
    fetcher: Fetches,
    work: Path,
    progress: Progress,
    *,
    checkpoints: Checkpoints | None = None,
    variant: str | None = None,
) -> tuple[Compressed, ...]:
    """Returns the result of each recipe of ``request``, in order; ``work`` is an empty folder.

    ``model`` is the model's name; ``variant`` names the one recipe to run, None: all. ``checkpoints`` is the store for
    training; None: nothing is stored. Raises Stalled or Transient, whose message names the cause; MemoryError passes
    through.
    """
    recipes = [recipe for recipe in request.recipes if variant in (None, recipe.variant)]
    name = request.source.model_format
    if name == BY_CONTENT:
        _refuse_hopeless(recipes)
    source = FetchedSource.of(request, fetcher, work) if name == BY_CONTENT else None
    given = source.format if source else model_format(name, "source")
    if request.teacher is not None:
        model_format(request.teacher.format, "teacher")
    first = given.name if given.trains else given.becomes
    child_process.warm_up()
    planned = [(recipe, plan(recipe.steps, first, given.becomes)) for recipe in recipes]
    _refuse_without_data(planned, request.datasets)
    unused = _unused(planned, request)
    source = source or FetchedSource.of(request, fetcher, work)
    space = Workspace.set_up(request, source, fetcher, work, progress, checkpoints)
    pipeline = _Pipeline(model, given, space, unused)
    for note in unused:
        progress.say(note)
    done: dict[bytes, _Result] = {}
    compressed = []
    for number, (recipe, steps) in enumerate(planned):
        key = canonical_json([step.to_json() for step in steps])
        progress.variant = recipe.variant if len(planned) > 1 else ""
        with _naming(progress.variant):
            if key not in done:
                done[key] = pipeline.compress(steps, work / f"recipe-{number}")
            compressed.append(pipeline.finish(done[key], recipe.variant, work / "artifacts" / recipe.variant))
    return tuple(compressed)


def overall(results: Iterable[Compressed]) -> Compressed | None:
    """Returns the result that keeps the revision from being published, a missed budget before an undecided one; None if
    there is none."""
    stopped = [result for result in results if result.decision.reason is not None]
    missed = [result for result in stopped if result.decision.reason == reasons.BUDGET_EXCEEDED]
    return next(iter(missed or stopped), None)


@dataclass(frozen=True)
class _Result:
    """The result of a recipe without the name of a variant, because variants may share it."""

    folder: Path
    artifact: ModelFile
    decision: GateResult
    evidence: dict[str, Any]
    evaluation: Evaluation | None
    latency: LatencyComparison | None
    golden: Any


@dataclass
class _Pipeline:
    """The run of all recipes on one workspace, one after the other."""

    model: str
    format: SourceFormat
    """The format of the source."""
    space: Workspace
    unused: tuple[str, ...]
    """The remarks on data that no step reads."""

    def compress(self, steps: tuple[PlannedStep, ...], folder: Path) -> _Result:
        space, budget = self.space, self.space.request.budget
        selection, report = self._split(steps)
        artifact, history = self._apply(steps, folder, selection)
        same_file = artifact.digest == self.space.source.digest
        published = with_weights_outside(artifact, folder / "published")
        data = report or self.space.dataset("calibration") or self.space.generated
        evaluated = self._evaluate(artifact, report)
        errors = self._measure_error(artifact, data)
        keeps_function = not any(step.step.changes_function for step in steps)
        latency = self._time(artifact, data)
        doubt = evaluated.doubt if evaluated else ""
        decision = judge(
            Measurements(
                answers=evaluated.answers if evaluated else None,
                same_file=same_file,
                size_bytes=published.size_bytes,
                latency_milliseconds=latency.artifact.p50 if latency else None,
                latency_runs=latency.runs if latency else 0,
                own=evaluated.own if evaluated else None,
                metric=evaluated.metric if evaluated else "accuracy",
                error=_worst(errors) if not same_file else None,
                keeps_function=keeps_function,
                perplexity=evaluated.perplexity if evaluated else None,
                alike=evaluated.alike if evaluated else None,
                doubt=doubt,
            ),
            budget,
        )
        for check in decision.checks:
            self.space.progress.say(f"{check.verdict}: {check.message}")
        artifact_bytes = self.space.source_transfer_bytes if same_file else transfer_bytes(published)
        weights = instruction_sets.weight_range(artifact)
        found = (doubt, instruction_sets.warning(weights, history), _error_warning(errors, decision, keeps_function))
        warnings = [warning for warning in found if warning]
        for warning in warnings:
            self.space.progress.say(f"warning: {warning}")
        golden = record_golden(published, data, self.space.request.golden_items, folder / GOLDEN_FILE)
        evidence = {
            "source": {
                **_describe_model(self.space.source, self.space.source_transfer_bytes),
                "uri": self.space.fetched.uri,
                **({"files": dict(self.space.fetched.files)} if self.space.fetched.files else {}),
                **({"converter": dict(self.space.fetched.converter)} if self.space.fetched.converter else {}),
            },
            "artifact": _describe_model(published, artifact_bytes),
            "signature": to_api(self.signature),
            "steps": history,
            "sourceChanges": list(space.in_order.changes) if steps or space.source_is_changed else [],
            "datasets": {use: item.to_json() for use, item in self.space.datasets.items()},
            "notes": [*space.notes(selection), *self.unused, *(f"warning: {warning}" for warning in warnings)],
            "evaluation": evaluated.to_json() if evaluated else None,
            "relativeErrors": errors.to_json() if errors else None,
            "weightRange": weights.to_json(),
            "latency": _latency_json(latency),
            "budget": {"limits": budget.to_json(), "checks": to_api(decision.checks)},
            "hardware": runtime.hardware(),
            "libraries": _libraries((*LIBRARIES, *(TRAINING_LIBRARIES if self.space.program else ()))),
        }
        return _Result(folder, published, decision, evidence, evaluated, latency, golden)

    def finish(self, result: _Result, variant: str, folder: Path) -> Compressed:
        """Returns the artifact's folder for one variant."""
        folder.mkdir(parents=True)
        artifact, carried = result.artifact, self.space.carried
        link_or_copy(artifact.path, folder / artifact.published_name)
        place_beside(artifact.weight_files, artifact.path.parent, folder)
        for name, file in carried.items():
            place_beside([name], file.parents[len(PurePosixPath(name).parts) - 1], folder)
        if result.golden is not None:
            link_or_copy(result.folder / GOLDEN_FILE, folder / GOLDEN_FILE)
        manifest = ArtifactManifest(
            model=self.model,
            fingerprint=self.space.request.fingerprint,
            variant=variant,
            source_digest=self.space.fetched.digest,
            artifact_digest=result.artifact.digest,
            inputs=result.artifact.inputs,
            outputs=result.artifact.outputs,
            golden=result.golden,
            runtime=result.artifact.runtime,
            model_file=result.artifact.published_name,
            transforms=result.artifact.transforms,
            files={
                **artifact.files,
                **{name: _file(file) for name, file in carried.items()},
                **({GOLDEN_FILE: _file(folder / GOLDEN_FILE)} if result.golden is not None else {}),
            },
            evidence={**result.evidence, **describe_generator(artifact, carried)},
        )
        write_reports(folder, manifest)
        return Compressed(
            folder=folder,
            manifest=manifest,
            decision=result.decision,
            size_bytes=result.artifact.size_bytes,
            source_size_bytes=self.space.source.size_bytes,
            evaluation=result.evaluation,
            latency=result.latency,
            signature=self.signature,
        )

    @cached_property
    def signature(self) -> CallerSignature:
        """The signature of the source, which a step may not change."""
        source, evaluation = self.space.source, self.space.dataset("evaluation")
        class_names = evaluation.class_names if evaluation is not None else ()
        state = self.space.request.source.stateful_inputs
        return CallerSignature.of(source.inputs, source.outputs, class_names or source.class_names, state)

    def _split(self, steps: tuple[PlannedStep, ...]) -> tuple[Dataset | None, Dataset | None]:
        """Returns the samples that a step may choose by, and those that the result is measured on; they share none."""
        evaluation = self.space.dataset("evaluation")
        if evaluation is None or not any(step.step.selects for step in steps):
            return None, evaluation
        if evaluation.size < 2:
            message = f"evaluation set: {evaluation.size} sample, and half of it selects: give more"
            raise Stalled(reasons.DATASET_INVALID, message)
        return evaluation.halves()

    def _apply(
        self, steps: tuple[PlannedStep, ...], folder: Path, selection: Dataset | None
    ) -> tuple[ModelFile, list[dict[str, Any]]]:
        folder.mkdir()
        space = self.space
        program, current, history = space.program, space.source, []
        given = space.in_order.path
        for number, step in enumerate(steps):
            self.space.progress.begin_step(step.name, step.step.type, number, len(steps))
            own = folder / f"step-{number}"
            own.mkdir()
            notes: dict[str, Any] = {}
            what = f"step {step.name}: its result"
            context = StepContext(
                name=step.name,
                folder=own,
                calibration=space.calibration,
                progress=space.progress,
                request=space.request.only(step.step.reads),
                source=space.source,
                selection=selection,
                training=space.inner("training"),
                unlabeled=space.inner("unlabeled"),
                teacher=space.teacher if "teacher" in step.step.reads else None,
                program=space.program,
                notes=notes,
                checkpoints=space.checkpoints,
                key=self._key(steps[: number + 1]),
            )
            if program is not None and step.takes(EXPORTED_PROGRAM):
                path = _apply_step(step, EXPORTED_PROGRAM, program, context)
                program = None if step.step.ends_training else path
                if program is not None:
                    path = files_of(EXPORTED_PROGRAM, program, own, what, reasons.STEP_FAILED).main
            else:
                program = None
                path = _apply_step(step, self.format.becomes, given, context)
            current = check_file(path, self.format.runtime, what=what, reason=reasons.STEP_FAILED, like=space.source)
            check_same_interface(self.space.source, current)
            refuse_a_crash(current, space.any_dataset or space.generated, what=what, reason=reasons.STEP_FAILED)
            given = current.path
            self.space.progress.end_step(step.name, current.size_bytes)
            history.append({**step.to_json(), "sizeBytes": current.size_bytes, "digest": current.digest, **notes})
        return current, history

    @cached_property
    def _teacher_digest(self) -> str | None:
        """The digest of the teacher, which is a large file, and read once; None if there is none."""
        return digest_of_file(self.space.teacher) if self.space.teacher else None

    def _key(self, steps: Iterable[PlannedStep]) -> str:
        read = {use: item.fetched.digest for use, item in self.space.datasets.items()}
        what = [self.space.fetched.digest, read, self._teacher_digest, [step.to_json() for step in steps]]
        if self.space.fetched.converter is not None:
            what.append(self.space.fetched.converter["digest"])
        if self.space.source.transforms:
            what.append([spec.to_json() for spec in self.space.source.transforms])
        return hashlib.sha256(canonical_json(what)).hexdigest()

    def _evaluate(self, artifact: ModelFile, dataset: Dataset | None) -> Evaluation | None:
        return None if dataset is None else self.space.evaluator.evaluate(self.space.source, artifact, dataset)

    def _measure_error(self, artifact: ModelFile, dataset: Dataset | None) -> RelativeErrors | None:
        """Returns the error; None for the source itself if nothing can run it. Raises Stalled(StepFailed) for
        others."""
        if dataset is not None:
            return measure_error(self.space.source, artifact, dataset, self.space.progress)
        message = "no inputs that the source takes can be generated from its signature"
        if artifact.digest == self.space.source.digest:
            self.space.progress.say(f"warning: the artifact, which is the source, was not run: {message}")
            return None
        message = f"the artifact cannot be tried: {message}: give datasets.calibration or datasets.evaluation"
        raise Stalled(reasons.STEP_FAILED, message)

    def _time(self, artifact: ModelFile, dataset: Dataset | None) -> LatencyComparison | None:
        feeds = sample_feeds(artifact, dataset, _FEEDS_TIMED)
        return time_both(self.space.source, artifact, feeds, self.space.progress) if feeds else None


def _worst(errors: RelativeErrors | None) -> WorstOutput | None:
    """Returns the output that the gate judges; None without the user's data."""
    if errors is None or errors.generated or (worst := errors.worst) is None or worst.percent is None:
        return None
    return WorstOutput(worst.output, worst.percent, errors.samples, errors.what)


def _error_warning(errors: RelativeErrors | None, decision: GateResult, keeps_function: bool) -> str | None:
    """Returns a warning about an output that is further off than a healthy artifact's, if no check of the gate says
    so."""
    worst = errors.worst if errors and keeps_function else None
    if errors is None or worst is None or any(check.name == "maxRelativeErrorPercent" for check in decision.checks):
        return None
    return far_off(errors, worst)


@contextlib.contextmanager
def _naming(variant: str) -> Any:
    """Names the variant in failures, if there are several recipes."""
    try:
        yield
    except EdgeModelError as error:
        if not variant:
            raise
        raise type(error)(error.reason, f"variant {variant}: {error.message}") from error


def _apply_step(step: PlannedStep, model_format: str, model: Path, context: StepContext) -> Path:
    def cannot(cause: str) -> Stalled:
        message = f"step {step.name}: {step.step.type} cannot be applied to this model: {cause}"
        return Stalled(reasons.STEP_FAILED, message)

    try:
        with explained(cannot), contextlib.redirect_stdout(io.StringIO()):  # onnxruntime prints for each feed
            return step.step.apply[model_format](model, step.settings, context)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"step {step.name}: no space is left for its results; the data sets, unpacked, lie beside them"
        raise Stalled(reasons.STEP_FAILED, f"{message}: give smaller ones, or a smaller model") from error


def _refuse_hopeless(recipes: Iterable[Recipe]) -> None:
    """Raises Stalled(StepFailed) for steps that a model of no format allows, before anything is fetched."""
    formats = [one for one in FORMATS.values() if one.to_artifact is not None]
    for recipe in recipes:
        failures = []
        for one in formats:
            try:
                plan(recipe.steps, one.name if one.trains else one.becomes, one.becomes)
            except Stalled as failure:
                failures.append(failure)
        if len(failures) == len(formats):
            raise failures[0]


def _refuse_without_data(planned: Iterable[tuple[Recipe, tuple[PlannedStep, ...]]], given: Container[str]) -> None:
    for _, steps in planned:
        for step in steps:
            for use in step.needs:
                if use not in given:
                    message = f"step {step.name}: {step.step.when_it_trains} needs datasets.{use}: {NEEDED[use]}"
                    raise Stalled(reasons.STEP_FAILED, message)


def _unused(planned: Sequence[tuple[Recipe, tuple[PlannedStep, ...]]], request: CompressionRequest) -> tuple[str, ...]:
    """Returns remarks on data that no step of any recipe reads."""
    steps = [step for _, recipe in planned for step in recipe]
    needed = {use for step in steps for use in step.needs}
    unused = [
        f"the {WHAT[use]} is not used: no step reads it" for use in _FOR_STEPS - needed if use in request.datasets
    ]
    if request.teacher is not None and not any("teacher" in step.step.reads for step in steps):
        unused.append("the teacher is not used: no step distills")
    return tuple(sorted(unused))


def _latency_json(latency: LatencyComparison | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    return {
        "runs": latency.runs,
        "threads": 1,
        "source": latency.source.to_json(),
        "artifact": latency.artifact.to_json(),
    }


def _describe_model(model: ModelFile, packed_bytes: int) -> dict[str, Any]:
    return {"digest": model.digest, "sizeBytes": model.size_bytes, "transferBytes": packed_bytes}


def _file(path: Path) -> ArtifactFile:
    return ArtifactFile(digest_of_file(path), path.stat().st_size)


def _libraries(names: Iterable[str]) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}
