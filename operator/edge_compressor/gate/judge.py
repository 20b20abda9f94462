"""The gate: measurements and a budget in, checks and a decision out. Pure functions.

Accuracy is judged as paired non-inferiority: artifact and source answered the same samples, and the artifact passes if
the 90 % interval of its drop (one-sided alpha 0.05) lies below the limit, fails if it lies above, and is Inconclusive
if the limit is inside it, because there were too few samples. A lower limit on the artifact's own accuracy is judged
the same way, by an interval of that alone; it works without a comparable source, as after transfer learning to other
classes.
"""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil, log2

from edge_compressor.gate.answers import (
    Alike,
    Own,
    Paired,
    PerplexityChange,
    WorstOutput,
    drop_interval,
    own_interval,
    own_of,
    rise,
    share_right,
)
from edge_compressor.gate.sample_size import above, against, narrowed, samples_for_floor, samples_to_decide
from edge_statistics.interval import Interval
from edgemodel import reasons
from edgemodel.budget import Budget
from edgemodel.verdict import CheckResult, Verdict


@dataclass(frozen=True)
class Measurements:
    """The measurements that are judged. None means not measured."""

    answers: Paired | None
    same_file: bool
    """True if the artifact is the source, bit for bit."""
    size_bytes: int
    latency_milliseconds: float | None
    """The median of single-sample runs; None if it was not measured."""
    latency_runs: int = 0
    own: Own | None = None
    """The answers of the artifact alone, if the source is not comparable; otherwise None, and ``answers`` holds
    them."""
    metric: str = "accuracy"
    """The name of the score, for messages."""
    error: WorstOutput | None = None
    """The relative error against the source on the user's data; None if there are none."""
    keeps_function: bool = True
    """True if no step trains or prunes, so that answers should be those of the source."""
    perplexity: PerplexityChange | None = None
    """The change of the perplexity; None for a task without one."""
    alike: Alike | None = None
    """The answers that source and artifact give alike; None if that was not counted."""
    doubt: str = ""
    """The reason why a drop is not meaningful, as the source's own answers have nothing to do with the labels; empty if
    it is meaningful."""


@dataclass(frozen=True)
class GateResult:
    """The result of the gate. ``reason`` is None if the artifact may be published."""

    checks: tuple[CheckResult, ...]
    reason: str | None
    message: str


def judge(measured: Measurements, budget: Budget) -> GateResult:
    """Returns the result for every limit of ``budget``; a Fail outweighs an Inconclusive."""
    checks: list[CheckResult] = []
    if budget.max_accuracy_drop_percent is not None:
        checks.append(judge_accuracy(measured, budget.max_accuracy_drop_percent))
    if budget.min_accuracy_percent is not None:
        checks.append(judge_floor(measured, budget.min_accuracy_percent))
    if budget.max_perplexity_increase_percent is not None:
        checks.append(judge_perplexity(measured, budget.max_perplexity_increase_percent))
    if budget.min_agreement_percent is not None:
        checks.append(judge_agreement(measured, budget.min_agreement_percent))
    scored = (measured.answers is not None or measured.own is not None) and not measured.doubt
    limit = budget.relative_error_limit(scored=scored, keeps_function=measured.keeps_function)
    if limit is not None and (measured.error is not None or budget.max_relative_error_percent is not None):
        checks.append(judge_relative_error(measured.error, limit))
    if budget.max_size_bytes is not None:
        checks.append(judge_size(measured.size_bytes, budget.max_size_bytes))
    if budget.max_latency_milliseconds is not None:
        checks.append(judge_latency(measured, budget.max_latency_milliseconds))
    failed = [check for check in checks if check.verdict is Verdict.FAIL]
    undecided = [check for check in checks if check.verdict is Verdict.INCONCLUSIVE]
    if failed:
        return GateResult(tuple(checks), reasons.BUDGET_EXCEEDED, "; ".join(check.message for check in failed))
    if undecided and budget.on_inconclusive == "Stall":
        return GateResult(
            tuple(checks), reasons.EVALUATION_INCONCLUSIVE, "; ".join(check.message for check in undecided)
        )
    return GateResult(tuple(checks), None, "; ".join(check.message for check in checks) or "no budget to keep")


def judge_accuracy(measured: Measurements, limit_percent: Decimal) -> CheckResult:
    """Returns the check of the accuracy drop, by paired non-inferiority; needs labels, unless source and artifact are
    one file."""
    answers, what = measured.answers, measured.metric
    samples = answers.samples if answers else 0

    def check(verdict: Verdict, observed: str, message: str) -> CheckResult:
        return CheckResult("maxAccuracyDropPercent", verdict, observed, str(limit_percent), samples, message)

    if measured.same_file:
        return check(Verdict.PASS, "0", f"{what} drops 0 %, limit {limit_percent} % (the artifact is the source file)")
    if answers is None:
        cure = "give datasets.evaluation with a label column"
        if measured.own is not None:
            cure = "the source cannot be compared with the artifact, set minAccuracyPercent instead"
        return check(Verdict.INCONCLUSIVE, "", f"{what} drop is not measured, limit {limit_percent} %: {cure}")
    if measured.doubt:
        return check(
            Verdict.INCONCLUSIVE, "", f"{what} drop is not meaningful, limit {limit_percent} %: {measured.doubt}"
        )
    interval = drop_interval(answers)
    verdict = against(interval, float(limit_percent) / 100)
    message = (
        f"{what} drops {_percent(answers.drop)} %, limit {limit_percent} % "
        f"(90 % interval {_percent(interval.lower)} to {_percent(interval.upper)} %, n = {samples})"
    )
    if verdict is Verdict.INCONCLUSIVE:
        message += f"; {_advice(samples_to_decide(answers, float(limit_percent) / 100), 'drop')}"
    return check(verdict, _percent(answers.drop), message)


def judge_floor(measured: Measurements, floor_percent: Decimal) -> CheckResult:
    """Returns the check of the artifact's own score against a lower limit, by Wilson's or the score's interval,
    one-sided alpha 0.05."""
    own = measured.own or own_of(measured.answers)
    if own is None:
        text = f"{measured.metric} is not measured, floor {floor_percent} %: give datasets.evaluation with labels"
        return CheckResult("minAccuracyPercent", Verdict.INCONCLUSIVE, "", str(floor_percent), 0, text)
    interval, floor = own_interval(own), float(floor_percent) / 100
    verdict = above(interval, floor)
    observed = _percent(share_right(own))
    message = (
        f"{measured.metric} is {observed} %, floor {floor_percent} % "
        f"(90 % interval {_percent(interval.lower)} to {_percent(interval.upper)} %, n = {own.samples})"
    )
    if verdict is Verdict.INCONCLUSIVE:
        message += f"; {_advice(samples_for_floor(own, floor), measured.metric)}"
    return CheckResult("minAccuracyPercent", verdict, observed, str(floor_percent), own.samples, message)


def judge_perplexity(measured: Measurements, limit_percent: Decimal) -> CheckResult:
    """Returns the check of the rise of the perplexity, by paired non-inferiority on the same texts."""
    name, change = "maxPerplexityIncreasePercent", measured.perplexity
    tokens = change.tokens if change else 0

    def check(verdict: Verdict, observed: str, message: str) -> CheckResult:
        return CheckResult(name, verdict, observed, str(limit_percent), tokens, message)

    if measured.same_file:
        text = f"perplexity rises 0 %, limit {limit_percent} % (the artifact is the source file)"
        return check(Verdict.PASS, "0", text)
    if change is None:
        cure = "give datasets.evaluation with texts of a decoder (task Language)"
        return check(Verdict.INCONCLUSIVE, "", f"perplexity is not measured, limit {limit_percent} %: {cure}")
    if measured.doubt:
        text = f"the rise of the perplexity is not meaningful, limit {limit_percent} %: {measured.doubt}"
        return check(Verdict.INCONCLUSIVE, "", text)
    limit = float(limit_percent) / 100
    interval = Interval(rise(change.interval.lower), rise(change.interval.upper))
    verdict = against(interval, limit)
    message = (
        f"perplexity rises {_percent(change.increase)} %, limit {limit_percent} % (90 % interval "
        f"{_percent(interval.lower)} to {_percent(interval.upper)} %, n = {tokens} tokens in {change.texts} texts)"
    )
    if verdict is Verdict.INCONCLUSIVE:
        enough = narrowed(change.bits, change.interval, tokens, log2(1 + limit))
        message += f"; {_advice(enough, 'rise', 'tokens')}"
    return check(verdict, _percent(change.increase), message)


def judge_agreement(measured: Measurements, floor_percent: Decimal) -> CheckResult:
    """Returns the check of the share of answers that source and artifact give alike."""
    name, alike = "minAgreementPercent", measured.alike
    if measured.same_file:
        text = f"agreement is 100 %, floor {floor_percent} % (the artifact is the source file)"
        return CheckResult(name, Verdict.PASS, "100", str(floor_percent), 0, text)
    if alike is None:
        cure = "give datasets.evaluation, and a task that compares answers"
        text = f"agreement with the source is not measured, floor {floor_percent} %: {cure}"
        return CheckResult(name, Verdict.INCONCLUSIVE, "", str(floor_percent), 0, text)
    interval, floor = own_interval(alike.own), float(floor_percent) / 100
    verdict, observed = above(interval, floor), _percent(share_right(alike.own))
    message = (
        f"{observed} % of {alike.what} agree with the source's, floor {floor_percent} % "
        f"(90 % interval {_percent(interval.lower)} to {_percent(interval.upper)} %, n = {alike.counted})"
    )
    if verdict is Verdict.INCONCLUSIVE:
        each = alike.counted / alike.own.samples
        enough = samples_for_floor(alike.own, floor)
        message += f"; {_advice(enough and ceil(enough * each), 'agreement', alike.what)}"
    return CheckResult(name, verdict, observed, str(floor_percent), alike.counted, message)


def judge_relative_error(error: WorstOutput | None, limit_percent: Decimal) -> CheckResult:
    """Returns the check of the worst float output's error, relative to the spread of the source's answers."""
    name = "maxRelativeErrorPercent"
    if error is None:
        text = (
            f"the relative error of the outputs is not measured, limit {limit_percent} %: give datasets.evaluation or "
            "datasets.calibration, and a model with float outputs"
        )
        return CheckResult(name, Verdict.INCONCLUSIVE, "", str(limit_percent), 0, text)
    verdict = Verdict.PASS if error.percent <= float(limit_percent) else Verdict.FAIL
    observed = _percent(error.percent / 100)
    text = (
        f"output {error.output!r} is off by {observed} % of its spread, limit {limit_percent} % "
        f"({error.data}, n = {error.samples})"
    )
    if verdict is Verdict.FAIL:
        text += "; change the steps, exclude the nodes that lose it, or raise budget.maxRelativeErrorPercent"
    return CheckResult(name, verdict, observed, str(limit_percent), error.samples, text)


def judge_size(size_bytes: int, limit_bytes: int) -> CheckResult:
    """Returns the check of the model file's size, before any compression for transfer."""
    verdict = Verdict.PASS if size_bytes <= limit_bytes else Verdict.FAIL
    text = f"size {size_bytes} bytes, limit {limit_bytes} bytes"
    return CheckResult("maxSizeBytes", verdict, str(size_bytes), str(limit_bytes), 1, text)


def judge_latency(measured: Measurements, limit: Decimal) -> CheckResult:
    """Returns the check of the median of single-sample runs on this machine; only a preflight measures it on nodes."""
    observed = measured.latency_milliseconds
    if observed is None:
        text = f"latency is not measured, limit {limit} ms: give datasets.evaluation"
        return CheckResult("maxLatencyMilliseconds", Verdict.INCONCLUSIVE, "", str(limit), 0, text)
    verdict = Verdict.PASS if observed <= float(limit) else Verdict.FAIL
    text = f"latency {observed:.3g} ms (median, one thread), limit {limit} ms (n = {measured.latency_runs})"
    return CheckResult("maxLatencyMilliseconds", verdict, f"{observed:.4g}", str(limit), measured.latency_runs, text)


def _advice(enough: int | None, what: str, samples: str = "samples") -> str:
    if enough is None:
        return f"no number of samples decides at this {what}: change the limit or the steps"
    return f"about {_two_digits_up(enough)} {samples} would decide"


def _two_digits_up(number: int) -> int:
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return ceil(number / unit) * unit


def _percent(share: float) -> str:
    """Returns the percentage with two decimals below 1 %, where limits usually are; otherwise with one."""
    percent = share * 100
    text = f"{percent:.2f}" if abs(percent) < 1 else f"{percent:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text
