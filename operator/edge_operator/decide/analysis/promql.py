"""PromQL: one number of the user's own, within bounds. No result and NaN decide nothing."""

from edge_operator.decide.analysis.evidence import Evidence, Judged
from edge_operator.decide.samples import Answer
from edgemodel import reasons
from edgemodel.analysis import PromQLRule
from edgemodel.verdict import Verdict

NOT_ASKED = Answer(None, "not asked yet")


def judge_promql(name: str, rule: PromQLRule, evidence: Evidence) -> Judged:
    answer = evidence.answers.get(name, NOT_ASKED)
    named = (("least", rule.min), ("limit", rule.max))
    bounds = [f"{name} {bound:g}" for name, bound in named if bound is not None]
    limit = " to ".join(f"{bound:g}" for bound in (rule.min, rule.max) if bound is not None)

    def judged(verdict: Verdict, observed: str, message: str, reason: str = "", waits: bool = False) -> Judged:
        return Judged(name, "", verdict, observed, limit, int(observed != ""), message, reason, waits)

    if answer.value is None:
        message = f"the query gives no number: {answer.problem}"
        return judged(Verdict.INCONCLUSIVE, "", message, reasons.ANALYSIS_INCONCLUSIVE, waits=True)
    observed = f"{answer.value:.6g}"
    message = f"the query gives {observed}, {', '.join(bounds)}"
    low = rule.min is not None and answer.value < rule.min
    high = rule.max is not None and answer.value > rule.max
    if low or high:
        return judged(Verdict.FAIL, observed, message, reasons.QUERY_OUT_OF_BOUNDS)
    return judged(Verdict.PASS, observed, message)
