"""The entries of ``status.checks``, rewritten only when the meaning of a judgement changes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite

from edge_operator.decide.analysis.evidence import Hypothesis, Judged, percent
from edge_operator.decide.analysis.judge import Judgement
from edgemodel.status import MAX_MESSAGE_LENGTH, CheckStatus, HypothesisStatus, RatioStatus

MAX_CHECKS = 80
"""The largest number of entries: 16 checks of 5 variants."""
MAX_TOLD = 1_000_000_000
"""The largest number of requests until a decision that is told; more are as good as unknown."""


@dataclass(frozen=True)
class Reported:
    """The entries of ``status.checks``, and the judgement with their messages, so that no message changes alone."""

    checks: tuple[CheckStatus, ...]
    judgement: Judgement


def report(before: Sequence[CheckStatus], judgement: Judgement, candidate: str) -> Reported:
    """Returns the entries that follow ``before``, the present ones of ``candidate``.

    An entry stays as it is while its verdict is the same and its evidence has not doubled, because small clusters keep
    their objects on an SD card. Without a new measurement all entries stay.
    """
    if not judgement.measured:
        return Reported(tuple(before), judgement)
    known = {(check.name, check.variant): check for check in before}
    checks, judged = [], []
    for item in judgement.judged[:MAX_CHECKS]:
        new = _check_status(item, judgement, candidate)
        old = known.get((new.name, new.variant))
        told = old if old is not None and _is_of(old, judgement) and _says_the_same(old, new) else new
        checks.append(told)
        judged.append(replace(item, message=told.message))
    return Reported(tuple(checks), replace(judgement, judged=tuple(judged)))


def _check_status(judged: Judged, judgement: Judgement, candidate: str) -> CheckStatus:
    shown = judged.results[0] if judged.results else None
    return CheckStatus(
        name=judged.name,
        verdict=judged.verdict,
        observed=judged.observed,
        limit=judged.limit,
        sample_count=judged.sample_count,
        message=judged.message[:MAX_MESSAGE_LENGTH],
        variant=judged.variant or None,
        revision=candidate,
        reason=judged.reason or None,
        measured_at=judgement.measured_at,
        evidence=tuple(
            _evidence(result.measure, hypothesis) for result in judged.results for hypothesis in result.hypotheses
        ),
        detectable_percent=percent(shown.detectable) if shown is not None and isfinite(shown.detectable) else None,
        requests_to_decide=(
            ceil(shown.requests_to_decide) if shown is not None and shown.requests_to_decide <= MAX_TOLD else None
        ),
    )


def _evidence(measure: str, hypothesis: Hypothesis) -> HypothesisStatus:
    ratios = (RatioStatus(f"{multiple:g}", f"{ratio:.3f}") for multiple, ratio in hypothesis.ratios.items())
    return HypothesisStatus(measure, hypothesis.name, f"{hypothesis.limit:.3f}", tuple(ratios))


def _is_of(check: CheckStatus, judgement: Judgement) -> bool:
    """Returns whether the entry is about the wave that is judged, not about an earlier one."""
    return judgement.since is None or check.measured_at is None or check.measured_at >= judgement.since


def _says_the_same(old: CheckStatus, new: CheckStatus) -> bool:
    if (old.verdict, old.reason) != (new.verdict, new.reason):
        return False
    if not new.sample_count:
        return old.sample_count == 0 and _words(old.message) == _words(new.message)
    return old.sample_count <= new.sample_count < 2 * old.sample_count


def _words(message: str) -> str:
    """Returns the message without its numbers, which in a large fleet change with every measurement."""
    return re.sub(r"[0-9]+", "", message)
