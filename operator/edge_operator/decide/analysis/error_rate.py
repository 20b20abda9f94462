"""ErrorRate: do more requests fail than on the same nodes before?

A request fails when the server answers with an error of its own. One that does not fit the model (another input name,
datatype or shape; values that it refuses) may be a client's mistake as well as a candidate that changed its inputs:
it counts apart, and it takes REFUSED_INCREASE.
"""

from edge_operator.decide.analysis.evidence import Evidence, Judged
from edge_operator.decide.analysis.limits import allowed_share
from edge_operator.decide.analysis.shares import Measure, judge_shares
from edge_operator.decide.samples import Counts
from edgemodel import reasons
from edgemodel.analysis import ErrorRateRule

REFUSED_INCREASE = 0.2


def judge_error_rate(name: str, rule: ErrorRateRule, evidence: Evidence) -> Judged:
    refused = max(REFUSED_INCREASE, rule.max_increase)
    measures = (
        Measure(
            key="failed",
            words="failed",
            bad=lambda counts, _: counts.server_errors,
            total=_all,
            limits=lambda counts: allowed_share(counts.server_errors, _all(counts), rule.max_increase),
            without_baseline=allowed_share(0, 0, rule.max_increase),
        ),
        Measure(
            key="refused",
            words="did not fit the model",
            bad=lambda counts, _: counts.refused,
            total=_all,
            limits=lambda counts: allowed_share(counts.refused, _all(counts), refused),
            without_baseline=allowed_share(0, 0, refused),
        ),
    )
    return judge_shares(name, evidence, measures, reasons.ERROR_RATE_TOO_HIGH)


def _all(counts: Counts) -> int:
    return counts.ok + counts.refused + counts.server_errors
