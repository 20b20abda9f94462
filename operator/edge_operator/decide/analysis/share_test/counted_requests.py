"""The series of requests that a test of shares reads."""

from dataclasses import replace

from edge_operator.decide.analysis.golden_set import ITEMS, MIN_PERCENT
from edge_operator.decide.measurement import Counter, Counts, Minutes
from edgemodel import metrics

REQUESTS = Counter(metrics.REQUESTS_TOTAL, "outcome", (metrics.OK, metrics.REFUSED, metrics.SERVER_ERROR))
"""The counted requests; errors of clients say nothing about the model and are left out."""
REQUESTS_BY_MINUTE = Minutes(REQUESTS)
WARM_UP_REQUESTS = replace(REQUESTS, warm_up=True)
READ = (REQUESTS, REQUESTS_BY_MINUTE, WARM_UP_REQUESTS, ITEMS, MIN_PERCENT)
"""The series that a check of shares reads besides its own: without requests, the golden set decides."""


def served(counts: Counts) -> bool:
    """Returns whether the node answered any request that counts."""
    return REQUESTS.total(counts) > 0
