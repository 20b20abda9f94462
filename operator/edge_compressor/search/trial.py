"""One candidate, measured: the cheapest measurements come first, and the first bad result drops it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_compressor import evaluation
from edge_compressor.datasets import Dataset
from edge_compressor.datasets.inner import feeds_behind
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.evaluation.relative_error import measure_error
from edge_compressor.evaluation.result import perplexity_json
from edge_compressor.gate import (
    Measurements,
    Paired,
    PairedAnswers,
    PerplexityChange,
    WorstOutput,
    drop_json,
    judge_accuracy,
    judge_agreement,
    judge_latency,
    judge_perplexity,
    judge_relative_error,
    judge_size,
)
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import OnnxModel, check_model, check_same_interface
from edge_compressor.search.portable import why_slow
from edge_compressor.search.probe import look
from edge_compressor.search.recipes import SearchRecipe
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.budget import Budget
from edgemodel.compression_request import AUTO
from edgemodel.errors import Stalled
from edgemodel.verdict import CheckResult, Verdict

NOISE: Final = 0.03
"""The difference of speeds below which they are a tie: two sessions of one file differ by as much."""

DEFAULT_PERPLEXITY_PERCENT: Final = Decimal(5)
"""The limit of the rise of the perplexity if the budget of a decoder sets none."""
_FEEDS_TIMED: Final = 16
_SAMPLES_FIRST: Final = 128


class Pace(StrEnum):
    """The speed relative to the source: the 99 % interval of the ratio lies above a tie, overlaps it, or lies below."""

    FASTER = "Faster"
    TIE = "Tie"
    SLOWER = "Slower"


@dataclass
class SearchTrial:
    """The measurements of one recipe. None: it was dropped before that was measured."""

    recipe: SearchRecipe
    model: OnnxModel | None = None
    transfer_bytes: int | None = None
    slow_elsewhere: str | None = None
    """The reason why it would be slow on other processors."""
    looked: bool = False
    """True if ``slow_elsewhere`` was determined."""
    speed: evaluation.Speed | None = None
    answers: Paired | None = None
    perplexity: PerplexityChange | None = None
    """The change of the perplexity, for decoders."""
    dropped: str | None = None
    on_front: bool = False
    """True if no other kept trial is both faster and smaller."""
    accuracy: CheckResult | None = None
    """The accuracy, which is checked last: a trial that it dropped has no other fault."""

    @property
    def missed_accuracy(self) -> bool:
        """True if the accuracy was measured and did not pass."""
        return self.accuracy is not None and self.accuracy.verdict is not Verdict.PASS

    @property
    def kept(self) -> bool:
        """True if nothing speaks against the trial so far."""
        return self.dropped is None

    @property
    def pace(self) -> Pace | None:
        """The pace against the source; None if it was not measured."""
        return None if self.speed is None else pace(self.speed)

    @property
    def credited_speed(self) -> float:
        """Returns the ratio of speeds if the candidate is faster; 1 for a tie."""
        return self.speed.ratio if self.speed is not None and self.pace is Pace.FASTER else 1.0

    def to_json(self, *, scored: bool) -> dict[str, Any]:
        """Returns the trial for the manifest, with ``accuracyDrop`` if there is a score, and ``agreementPercent``
        otherwise."""
        shown: dict[str, Any] = {"recipe": self.recipe.to_json(), "name": str(self.recipe)}
        shown["sizeBytes"] = self.model.size_bytes if self.model else None
        shown["transferBytes"] = self.transfer_bytes
        shown["speed"] = _speed_json(self.speed)
        shown["accuracyDrop"] = drop_json(self.answers) if self.answers and scored else None
        if self.perplexity is not None:
            shown["perplexityIncrease"] = perplexity_json(self.perplexity)
        shown["agreementPercent"] = round(100 - self.answers.drop * 100, 4) if self.answers and not scored else None
        shown["slowElsewhere"] = self.slow_elsewhere or ("no sign of it" if self.looked else None)
        return {**shown, "dropped": self.dropped, "paretoFront": self.on_front}


def pace(speed: evaluation.Speed) -> Pace:
    """Returns the pace that the lower end of the measured speed-up proves."""
    if speed.lower > 1 + NOISE:
        return Pace.FASTER
    return Pace.TIE if speed.lower > 1 - NOISE else Pace.SLOWER


def has_score(dataset: Dataset, task: str) -> bool:
    """Returns whether there is a score; tasks without labels have one, and are only taken if they are named."""
    return dataset.is_scored or task != AUTO


@dataclass
class Trials:
    """The measurement of all candidates: one source, one budget and one set of samples."""

    source: ModelFile
    selection: Dataset
    budget: Budget
    limit_percent: Decimal
    """The largest drop of accuracy; without labels, of agreement with the source."""
    agreement: str
    """The kind of agreement if there is no score: Close or Argmax."""
    evaluator: evaluation.Evaluator
    """The evaluator of ``selection`` alone."""
    digests: dict[str, str] = field(default_factory=dict)
    """The recipe of each measured file, by its digest."""

    @property
    def scored(self) -> bool:
        """Returns whether there is a score to compare, and not only the answers."""
        return has_score(self.selection, self.evaluator.settings.task)

    def feeds(self, count: int) -> list[dict[str, Array]]:
        """Returns feeds of single samples, spread evenly."""
        return sample_feeds(self.source, self.selection, count) or []

    def inner_feeds(self, count: int) -> list[dict[str, Array]]:
        """Returns the same feeds as the model itself takes them, behind its transforms."""
        return feeds_behind(self.feeds(count), self.source.transforms)

    def measure(self, recipe: SearchRecipe, path: Path) -> SearchTrial:
        """Returns the measured trial; ``path`` lies in a folder of its own, where files may be created."""
        trial = SearchTrial(recipe)
        try:
            self._measure(trial, path)
        except _Dropped as reason:
            trial.dropped = str(reason)
        except Stalled as error:
            if error.reason in (reasons.SOURCE_INVALID, reasons.DATASET_INVALID):
                raise  # for which no candidate is to blame
            trial.dropped = error.message
        return trial

    def _measure(self, trial: SearchTrial, path: Path) -> None:
        optimized = path.parent / "optimized.onnx"
        if wrong := look(path, self.inner_feeds(1)[0], optimized):
            raise _Dropped(wrong)
        model = check_model(path, what="it", reason=reasons.STEP_FAILED, like=self.source)
        check_same_interface(self.source, model)
        trial.model = model
        if same := self.digests.get(model.digest):
            raise _Dropped(f"the same file as {same}")
        self.digests[model.digest] = str(trial.recipe)
        trial.slow_elsewhere, trial.looked = why_slow(optimized), True
        optimized.unlink()
        if trial.slow_elsewhere:
            raise _Dropped(trial.slow_elsewhere)
        if self.budget.max_size_bytes is not None:
            _keep(judge_size(model.size_bytes, self.budget.max_size_bytes))
        trial.speed = evaluation.compare_speed(self.source, model, self.feeds(_FEEDS_TIMED))
        if trial.pace is Pace.SLOWER:
            raise _Dropped(f"slower than the source, or not shown not to be: {_range(trial.speed)} of its speed")
        if self.budget.max_latency_milliseconds is not None:
            timed = Measurements(None, False, model.size_bytes, trial.speed.artifact.p50, trial.speed.runs)
            _keep(judge_latency(timed, self.budget.max_latency_milliseconds))
        self._judge_accuracy(trial, model)
        self._judge_error(trial, model)

    def _judge_error(self, trial: SearchTrial, model: OnnxModel) -> None:
        """Drops a candidate that the gate would refuse for the relative error of its outputs.

        Answers that are NaN or infinite drop it in any case.
        """
        errors = measure_error(self.source, model, self.selection, self.evaluator.progress)
        limit = self.budget.relative_error_limit(scored=self.scored, keeps_function=True)
        if limit is not None and errors.worst is not None and errors.worst.percent is not None:
            worst = WorstOutput(errors.worst.output, errors.worst.percent, errors.samples, errors.what)
            trial.accuracy = judge_relative_error(worst, limit)
            _keep(trial.accuracy)

    def _judge_accuracy(self, trial: SearchTrial, model: OnnxModel) -> None:
        """Judges the accuracy on few samples first, so that a clear failure needs no run on all."""
        steps = [self.selection.size // _SAMPLES_FIRST, 1] if self.selection.size >= 2 * _SAMPLES_FIRST else [1]
        for step in steps:
            measured = self.measured(model, step)
            trial.answers, trial.perplexity = measured.answers, measured.perplexity
            check = self._worst_check(measured)
            if not self.scored:
                check = replace(check, message=check.message.replace("accuracy", "agreement with the source", 1))
            trial.accuracy = check
            if check.verdict is Verdict.FAIL or step == 1:
                _keep(check)

    @property
    def judged_by(self) -> str:
        """The measure by which candidates are dropped, for the report."""
        if self.source.decoder is None:
            return "accuracy"
        limits = (self.budget.max_perplexity_increase_percent, self.budget.min_agreement_percent)
        return "perplexity" if limits[0] is not None or limits[1] is None else "agreement of greedy tokens"

    def _worst_check(self, measured: Measurements) -> CheckResult:
        """Returns the check of the accuracy; for a decoder, the worst of those that the budget has."""
        if self.source.decoder is None:
            return judge_accuracy(measured, self.limit_percent)
        budget = self.budget
        checks = []
        if budget.min_agreement_percent is not None:
            checks.append(judge_agreement(measured, budget.min_agreement_percent))
        if budget.max_accuracy_drop_percent is not None:
            checks.append(judge_accuracy(measured, budget.max_accuracy_drop_percent))
        if budget.max_perplexity_increase_percent is not None or not checks:
            limit = budget.max_perplexity_increase_percent
            checks.append(judge_perplexity(measured, DEFAULT_PERPLEXITY_PERCENT if limit is None else limit))
        order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
        return min(checks, key=lambda check: order.index(check.verdict))

    def measured(self, model: OnnxModel, step: int) -> Measurements:
        """Returns the comparison on each ``step``-th sample, to be judged.

        Without a score the source always counts as right, so that missing agreement is a drop like any other.
        """
        samples = self.selection.every(step)
        if self.scored:
            found = self.evaluator.evaluate(self.source, model, samples)
            assert found.answers is not None  # the interface is the source's, so they can be compared
            return Measurements(
                found.answers, False, model.size_bytes, None, metric=found.metric, doubt=found.doubt,
                perplexity=found.perplexity, alike=found.alike,
            )  # fmt: skip
        progress = self.evaluator.progress
        found = evaluation.compare_values(self.source, model, samples, progress, kind=self.agreement)
        assert found.agreement is not None
        alike = round(found.agreement * found.samples)
        paired = PairedAnswers(found.samples, found.samples, alike, found.samples - alike, 0)
        return Measurements(paired, False, model.size_bytes, None)


class _Dropped(Exception):
    """The candidate is dropped; the text says why."""


def _keep(check: CheckResult) -> None:
    if check.verdict is not Verdict.PASS:
        raise _Dropped(f"{check.verdict}: {check.message}")


def _range(speed: evaluation.Speed) -> str:
    return f"{speed.lower:.2f} to {speed.upper:.2f}"


def _speed_json(speed: evaluation.Speed | None) -> dict[str, Any] | None:
    if speed is None:
        return None
    return {
        "ratio": round(speed.ratio, 4),
        "lower": round(speed.lower, 4),
        "upper": round(speed.upper, 4),
        "confidencePercent": 99,
        "runs": speed.runs,
        "verdict": pace(speed),
    }


def mark_front(trials: Sequence[SearchTrial]) -> None:
    """Marks the Pareto front of ``trials``, which were all kept."""
    points = [(trial.credited_speed, -(trial.transfer_bytes or 0)) for trial in trials]
    for trial, point in zip(trials, points, strict=True):
        trial.on_front = not any(other != point and all(np.greater_equal(other, point)) for other in points)
