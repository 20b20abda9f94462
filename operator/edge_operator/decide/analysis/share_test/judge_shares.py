"""The verdict of a check that consists of one or more tests of shares."""

from collections.abc import Sequence
from dataclasses import replace

from edge_operator.decide.analysis.evidence import Evidence, Judged, percent
from edge_operator.decide.analysis.share_test.expected_share import known_before
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.analysis.share_test.measure_test import judge_measure
from edge_operator.decide.analysis.share_test.messages import because_of, too_early, what_is_detectable, why_undecided
from edge_operator.decide.analysis.share_test.warm_up_test import WARM_UP_ALPHA, judge_warm_up, warm_ups_of
from edge_operator.decide.analysis.share_test.without_requests import without_requests
from edgemodel import reasons
from edgemodel.verdict import Verdict


def judge_shares(name: str, evidence: Evidence, measures: Sequence[Measure]) -> Judged:
    """Returns Fail if one of ``measures`` fails, and Pass if all pass and most nodes report."""
    alpha = evidence.alpha / len(measures)
    tested, warm_ups = [], []
    of_warm_ups = warm_ups_of(evidence)
    for measure in measures:
        known = known_before(name, evidence, measure)
        because = because_of(evidence, measure, known)
        steady = judge_measure(evidence, measure, known, because, (1 - WARM_UP_ALPHA) * alpha)
        tested += [steady] if steady is not None else []
        warm_up = judge_warm_up(name, of_warm_ups, measure, known, WARM_UP_ALPHA * alpha)
        warm_ups += [warm_up] if warm_up is not None else []
    pooled = {item.measure.key: item.pooled for item in (*tested, *warm_ups) if item.pooled is not None}
    tested += [item for item in warm_ups if item.verdict is Verdict.FAIL]
    if not tested:
        return replace(without_requests(name, evidence), pooled=pooled)
    order = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
    shown = min(tested, key=lambda item: order[item.verdict])
    verdict, reason, why, early = shown.verdict, "", "", too_early(evidence)
    if verdict is Verdict.INCONCLUSIVE or (verdict is Verdict.PASS and (early or not evidence.quorum)):
        reason, why = why_undecided(evidence, shown)
        if verdict is Verdict.PASS and evidence.quorum:
            reason, why = reasons.ANALYSIS_INCONCLUSIVE, f"; {early}"
        verdict = Verdict.INCONCLUSIVE
    if verdict is not Verdict.FAIL:
        why = f"; {what_is_detectable(shown, verdict)}{why}"
    return Judged(
        name=name,
        variant=evidence.variant,
        verdict=verdict,
        observed=percent(shown.bad / shown.total),
        limit=percent(shown.limit),
        sample_count=shown.total,
        message=f"{shown}{why}",
        reason=reason,
        waits=verdict is Verdict.INCONCLUSIVE,
        pooled=pooled,
        results=tuple(item.result for item in sorted(tested, key=lambda item: item is not shown)),
    )
