"""The gate: measurements and a budget in, checks and a decision out. Pure functions.

Accuracy is judged as paired non-inferiority: artifact and source answered the same samples, and the
artifact passes when the 90 % interval of its drop (one-sided alpha 0.05) lies below the limit, fails when
it lies above, and is Inconclusive when the limit is inside it: then too few samples were there to tell.
A floor under the artifact's own accuracy is judged the same way, by an interval of that alone: it needs no
source that could answer, as after transfer learning to other classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any, Final, Literal

from edge_statistics.interval import Interval
from edge_statistics.tango import tango_interval
from edge_statistics.wilson import wilson_interval
from edgemodel import reasons
from edgemodel.verdict import Check, Verdict

MAX_SAMPLES_ADVISED: Final = 100_000_000
"""Beyond this no number is named: the observed drop is as good as the limit."""


@dataclass(frozen=True)
class PairedAnswers:
    """How source and artifact answered the same samples."""

    samples: int
    source_right: int
    artifact_right: int
    only_source_right: int
    only_artifact_right: int

    @property
    def drop(self) -> float:
        """Of accuracy, source minus artifact, in -1..1."""
        return (self.only_source_right - self.only_artifact_right) / self.samples


@dataclass(frozen=True)
class PairedScores:
    """Scores, in 0..1, that are no count of right answers, such as mAP; with intervals of 90 % (``bootstrap``)."""

    samples: int
    source: float
    artifact: float
    interval: Interval
    """Of the drop."""
    artifact_interval: Interval
    """Of the artifact's own score."""

    @property
    def drop(self) -> float:
        """Of the score, source minus artifact, in -1..1."""
        return self.source - self.artifact


@dataclass(frozen=True)
class OwnAnswers:
    """How the artifact answered, whatever the source would say."""

    samples: int
    right: int


@dataclass(frozen=True)
class OwnScore:
    """A score, in 0..1, that is no count of right answers, with its interval of 90 %."""

    samples: int
    score: float
    interval: Interval


Paired = PairedAnswers | PairedScores
Own = OwnAnswers | OwnScore


@dataclass(frozen=True)
class Measurements:
    """What is judged. None: not measured."""

    answers: Paired | None
    same_file: bool
    """The artifact is the source, bit for bit."""
    size_bytes: int
    latency_milliseconds: float | None
    """Median of single-sample runs."""
    latency_runs: int = 0
    own: Own | None = None
    """Of the artifact, where the source is not comparable; else ``answers`` tell."""
    metric: str = "accuracy"
    """What the score is, for messages."""


@dataclass(frozen=True)
class Budget:
    """``spec.compression.budget``. None: not limited."""

    max_accuracy_drop_percent: Decimal | None = None
    min_accuracy_percent: Decimal | None = None
    max_size_bytes: int | None = None
    max_latency_milliseconds: Decimal | None = None
    when_inconclusive: Literal["Stall", "Proceed"] = "Stall"


@dataclass(frozen=True)
class GateResult:
    """``reason`` is None when the artifact may be published."""

    checks: tuple[Check, ...]
    reason: str | None
    message: str


def parse_budget(value: Mapping[str, Any]) -> Budget:
    """Raises ValueError, naming the key, when ``value`` is not a budget."""
    known = {
        "maxAccuracyDropPercent", "minAccuracyPercent", "maxSizeBytes", "maxLatencyMilliseconds", "whenInconclusive",
    }  # fmt: skip
    if unknown := value.keys() - known:
        raise ValueError(f"budget has no key {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    size = value.get("maxSizeBytes")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"budget.maxSizeBytes is {size!r}, want a whole number of bytes, at least 1")
    when: Any = value.get("whenInconclusive") or "Stall"
    if when not in ("Stall", "Proceed"):
        raise ValueError(f"budget.whenInconclusive is {when!r}, want Stall or Proceed")
    return Budget(
        max_accuracy_drop_percent=_decimal(value, "maxAccuracyDropPercent", most=Decimal(100)),
        min_accuracy_percent=_decimal(value, "minAccuracyPercent", most=Decimal(100)),
        max_size_bytes=size,
        max_latency_milliseconds=_decimal(value, "maxLatencyMilliseconds", most=None),
        when_inconclusive=when,
    )


def judge(measured: Measurements, budget: Budget) -> GateResult:
    """Every limit of ``budget`` against ``measured``; a Fail weighs more than an Inconclusive."""
    checks: list[Check] = []
    if budget.max_accuracy_drop_percent is not None:
        checks.append(judge_accuracy(measured, budget.max_accuracy_drop_percent))
    if budget.min_accuracy_percent is not None:
        checks.append(judge_floor(measured, budget.min_accuracy_percent))
    if budget.max_size_bytes is not None:
        checks.append(judge_size(measured.size_bytes, budget.max_size_bytes))
    if budget.max_latency_milliseconds is not None:
        checks.append(judge_latency(measured, budget.max_latency_milliseconds))
    failed = [check for check in checks if check.verdict is Verdict.FAIL]
    undecided = [check for check in checks if check.verdict is Verdict.INCONCLUSIVE]
    if failed:
        return GateResult(tuple(checks), reasons.BUDGET_EXCEEDED, "; ".join(check.message for check in failed))
    if undecided and budget.when_inconclusive == "Stall":
        return GateResult(
            tuple(checks), reasons.EVALUATION_INCONCLUSIVE, "; ".join(check.message for check in undecided)
        )
    return GateResult(tuple(checks), None, "; ".join(check.message for check in checks) or "no budget to keep")


def judge_accuracy(measured: Measurements, limit_percent: Decimal) -> Check:
    """Paired non-inferiority; needs labels, unless source and artifact are one file."""
    answers, what = measured.answers, measured.metric
    samples = answers.samples if answers else 0

    def check(verdict: Verdict, observed: str, message: str) -> Check:
        return Check("maxAccuracyDropPercent", verdict, observed, str(limit_percent), samples, message)

    if measured.same_file:
        return check(Verdict.PASS, "0", f"{what} drops 0 %, limit {limit_percent} % (the artifact is the source file)")
    if answers is None:
        cure = "give datasets.evaluation with a label column"
        if measured.own is not None:
            cure = "the source cannot be compared with the artifact, set minAccuracyPercent instead"
        return check(Verdict.INCONCLUSIVE, "", f"{what} drop is not measured, limit {limit_percent} %: {cure}")
    interval = drop_interval(answers)
    verdict = _against(interval, float(limit_percent) / 100)
    message = (
        f"{what} drops {_percent(answers.drop)} %, limit {limit_percent} % "
        f"(90 % interval {_percent(interval.lower)} to {_percent(interval.upper)} %, n = {samples})"
    )
    if verdict is Verdict.INCONCLUSIVE:
        message += f"; {_advice(samples_to_decide(answers, float(limit_percent) / 100), 'drop')}"
    return check(verdict, _percent(answers.drop), message)


def judge_floor(measured: Measurements, floor_percent: Decimal) -> Check:
    """The artifact's own score against a floor: by Wilson's interval, or that of a score, one-sided alpha 0.05."""
    own = measured.own or own_of(measured.answers)
    if own is None:
        text = f"{measured.metric} is not measured, floor {floor_percent} %: give datasets.evaluation with labels"
        return Check("minAccuracyPercent", Verdict.INCONCLUSIVE, "", str(floor_percent), 0, text)
    interval, floor = own_interval(own), float(floor_percent) / 100
    verdict = _above(interval, floor)
    observed = _percent(_score(own))
    message = (
        f"{measured.metric} is {observed} %, floor {floor_percent} % "
        f"(90 % interval {_percent(interval.lower)} to {_percent(interval.upper)} %, n = {own.samples})"
    )
    if verdict is Verdict.INCONCLUSIVE:
        message += f"; {_advice(samples_for_floor(own, floor), measured.metric)}"
    return Check("minAccuracyPercent", verdict, observed, str(floor_percent), own.samples, message)


def judge_size(size_bytes: int, limit_bytes: int) -> Check:
    """The size of the model file itself, before any compression for transfer."""
    verdict = Verdict.PASS if size_bytes <= limit_bytes else Verdict.FAIL
    text = f"size {size_bytes} bytes, limit {limit_bytes} bytes"
    return Check("maxSizeBytes", verdict, str(size_bytes), str(limit_bytes), 1, text)


def judge_latency(measured: Measurements, limit: Decimal) -> Check:
    """The median of single-sample runs on this machine: what it is on a node, only the node can tell."""
    observed = measured.latency_milliseconds
    if observed is None:
        text = f"latency is not measured, limit {limit} ms: give datasets.evaluation"
        return Check("maxLatencyMilliseconds", Verdict.INCONCLUSIVE, "", str(limit), 0, text)
    verdict = Verdict.PASS if observed <= float(limit) else Verdict.FAIL
    text = f"latency {observed:.3g} ms (median, one thread), limit {limit} ms (n = {measured.latency_runs})"
    return Check("maxLatencyMilliseconds", verdict, f"{observed:.4g}", str(limit), measured.latency_runs, text)


def drop_interval(answers: Paired) -> Interval:
    """Of the drop, 90 %: Tango's for right and wrong answers."""
    if isinstance(answers, PairedScores):
        return answers.interval
    return tango_interval(answers.only_source_right, answers.only_artifact_right, answers.samples)


def own_of(answers: Paired | None) -> Own | None:
    """What a paired comparison says of the artifact alone."""
    if isinstance(answers, PairedScores):
        return OwnScore(answers.samples, answers.artifact, answers.artifact_interval)
    return None if answers is None else OwnAnswers(answers.samples, answers.artifact_right)


def own_interval(own: Own) -> Interval:
    """Of the artifact's own score, 90 %: Wilson's for right and wrong answers."""
    return own.interval if isinstance(own, OwnScore) else wilson_interval(own.right, own.samples)


def drop_json(answers: Paired) -> dict[str, Any]:
    """The drop of accuracy with its interval, for the manifest; what was counted, so that others can judge anew."""
    interval = drop_interval(answers)
    counted = {}
    if isinstance(answers, PairedAnswers):
        counted = {"onlySourceRight": answers.only_source_right, "onlyArtifactRight": answers.only_artifact_right}
    return {
        "percent": round(answers.drop * 100, 4),
        "lowerPercent": round(interval.lower * 100, 4),
        "upperPercent": round(interval.upper * 100, 4),
        "confidencePercent": 90,
        "interval": "Bootstrap" if isinstance(answers, PairedScores) else "Tango",
        **counted,
    }


def samples_to_decide(answers: Paired, limit: float) -> int | None:
    """About how many samples would decide, were source and artifact to differ on the same shares of them.

    None when no number up to MAX_SAMPLES_ADVISED would: the observed drop is the limit itself.
    """
    if isinstance(answers, PairedScores):
        return _narrowed(answers.drop, answers.interval, answers.samples, limit)
    source_rate = answers.only_source_right / answers.samples
    artifact_rate = answers.only_artifact_right / answers.samples

    def decides(n: int) -> bool:
        return _against(tango_interval(source_rate * n, artifact_rate * n, n), limit) is not Verdict.INCONCLUSIVE

    return _fewest(answers.samples, decides)


def samples_for_floor(own: Own, floor: float) -> int | None:
    """About how many samples would decide about a floor, were the same share of them right; None as above."""
    if isinstance(own, OwnScore):
        return _narrowed(own.score, own.interval, own.samples, floor)

    def decides(n: int) -> bool:
        return _above(wilson_interval(own.right / own.samples * n, n), floor) is not Verdict.INCONCLUSIVE

    return _fewest(own.samples, decides)


def _fewest(start: int, decides: Callable[[int], bool]) -> int | None:
    low = high = start
    while not decides(high):
        if high > MAX_SAMPLES_ADVISED:
            return None
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _narrowed(observed: float, interval: Interval, samples: int, limit: float) -> int | None:
    """An interval narrows with the root of the number of samples: how many, until the limit is outside of it."""
    gap = limit - observed
    reach = interval.upper - observed if gap > 0 else observed - interval.lower
    if abs(gap) < 1e-12 or samples * (reach / gap) ** 2 > MAX_SAMPLES_ADVISED:
        return None
    return ceil(samples * (reach / gap) ** 2)


def _against(interval: Interval, limit: float) -> Verdict:
    if interval.upper <= limit:
        return Verdict.PASS
    return Verdict.FAIL if interval.lower > limit else Verdict.INCONCLUSIVE


def _above(interval: Interval, floor: float) -> Verdict:
    if interval.lower >= floor:
        return Verdict.PASS
    return Verdict.FAIL if interval.upper < floor else Verdict.INCONCLUSIVE


def _score(own: Own) -> float:
    return own.score if isinstance(own, OwnScore) else own.right / own.samples


def _advice(enough: int | None, what: str) -> str:
    if enough is None:
        return f"no number of samples decides at this {what}: change the limit or the steps"
    return f"about {_two_digits_up(enough)} samples would decide"


def _two_digits_up(number: int) -> int:
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return ceil(number / unit) * unit


def _percent(share: float) -> str:
    """Two decimals below 1 %, where limits are drawn; else one."""
    percent = share * 100
    text = f"{percent:.2f}" if abs(percent) < 1 else f"{percent:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _decimal(value: Mapping[str, Any], key: str, *, most: Decimal | None) -> Decimal | None:
    text = value.get(key)
    if text is None:
        return None
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        raise ValueError(f"budget.{key} is {text!r}, want a decimal string such as '1.0'") from None
    if not number.is_finite() or number < 0 or (most is not None and number > most):
        raise ValueError(f"budget.{key} is {text}, want 0{f' to {most}' if most is not None else ' or more'}")
    return number
