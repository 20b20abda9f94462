"""The test that fails a candidate: it got worse, and it exceeds the limit."""

from edge_operator.decide.analysis.evidence import ABOVE_LIMIT, WORSE, Hypothesis
from edge_operator.decide.analysis.share_test.weighed_nodes import Weighed

ALTERNATIVES = (1.0, 2.0, 4.0, 8.0)
"""The increases, in multiples of the one that is too much, that a candidate may have which got worse."""
BEYOND = ((0.8, 1.6), (1.6, 3.2))
"""The increases, in the same unit, of candidates that exceed the limit, each after the half of it that it is compared
with. The first finds those that exceed it by little once there are many requests, the second those that exceed it by
far with few."""
SHOWN = 1.8
"""The logarithm of the likelihood ratio that shows it: with a candidate that has 0.8 of the increase that is too much,
a test at this threshold errs with a probability of at most 17 % (Ville), and far less often with one that has less."""


def worse(found: Weighed, limit: float) -> Hypothesis:
    """Returns how far the counts show that the candidate is worse than expected."""
    return Hypothesis(
        WORSE, {multiple: found.ratio(found.at_expected, 0.0, multiple) for multiple in ALTERNATIVES}, limit
    )


def above_limit(found: Weighed) -> Hypothesis:
    """Returns how far they show that it exceeds the limit."""
    return Hypothesis(
        ABOVE_LIMIT, {multiple: found.ratio(found.at_limit, null, multiple) for null, multiple in BEYOND}, SHOWN
    )
