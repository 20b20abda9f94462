"""A sequential test of shares of bad requests: node by node, against what is expected of each.

Expected is a node's own share before its switch, shrunk towards that of all nodes of the variant, times the drift that
the nodes on stable show since then: those of the variant, or those of all variants if it has none. Nodes that moved for
themselves are left out, and what one node shows alone neither passes nor fails a candidate. What is too much is the
increase that the user allows, on top. A candidate fails if two things are shown: it got worse at all, which a good
one does with a probability of ALPHA at most, and by more than the user's increase. Requests that come together,
baselines of few requests and few nodes on stable make evidence worth less: each log-likelihood ratio is weighted by the
variance that independent requests with known shares would have, divided by the true one.

Requests of a server's warm-up are left out. A comparison of their own fails a candidate whose warm-up is worse than
those of stable's servers were, if there are any; it neither passes nor holds a candidate.
"""

from edge_operator.decide.analysis.share_test.counted_requests import (
    READ,
    REQUESTS,
    REQUESTS_BY_MINUTE,
    WARM_UP_REQUESTS,
    served,
)
from edge_operator.decide.analysis.share_test.judge_shares import judge_shares
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.analysis.share_test.without_requests import reporting, without_requests

__all__ = [
    "READ",
    "REQUESTS",
    "REQUESTS_BY_MINUTE",
    "WARM_UP_REQUESTS",
    "Measure",
    "judge_shares",
    "reporting",
    "served",
    "without_requests",
]
