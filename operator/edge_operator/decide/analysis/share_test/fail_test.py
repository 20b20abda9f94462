"""The test that fails a candidate: it got worse, and it exceeds the limit."""

from edge_operator.decide.analysis.evidence import ABOVE_LIMIT, WORSE, Hypothesis
from edge_operator.decide.analysis.share_test.weighed_nodes import Weighed

ALTERNATIVES = (1.0, 2.0, 4.0, 8.0)
"""The increases, in multiples of the one that is too much, that a candidate may have which got worse."""
BEYOND = 1.5
"""The increase, in the same unit, that is compared with the limit, to show that a candidate exceeds it."""
SHOWN = 1.4
"""The logarithm of the likelihood ratio that shows it: with a candidate that is exactly at the limit, a test at this
threshold errs with a probability of at most 25 % (Ville); one that did not change cannot reach it."""


def worse(found: Weighed, limit: float) -> Hypothesis:
    """Returns how far the counts show that the candidate is worse than expected."""
    return Hypothesis(
        WORSE, {multiple: found.ratio(found.at_expected, 0.0, multiple) for multiple in ALTERNATIVES}, limit
    )


def above_limit(found: Weighed) -> Hypothesis:
    """Returns how far they show that it exceeds the limit."""
    return Hypothesis(ABOVE_LIMIT, {BEYOND: found.ratio(found.at_limit, 1.0, BEYOND)}, SHOWN)
