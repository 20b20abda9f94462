"""The test that passes a candidate: it keeps the limit."""

from edge_operator.decide.analysis.evidence import BELOW_LIMIT, Hypothesis
from edge_operator.decide.analysis.share_test.weighed_nodes import Weighed

BELOW = (0.0, 0.5)
"""The increases, in the same unit, of candidates that are as good as expected, or good enough."""


def below_limit(found: Weighed, limit: float) -> Hypothesis:
    """Returns how far the counts show that the candidate keeps the limit."""
    return Hypothesis(BELOW_LIMIT, {multiple: found.ratio(found.at_limit, 1.0, multiple) for multiple in BELOW}, limit)
