"""Samples of servers that generate text, made of single requests, for tests of verdicts."""

from math import inf

import numpy as np
from numpy.typing import NDArray

from edge_operator.decide.analysis.checks.inter_token_latency import GAPS
from edge_operator.decide.analysis.checks.time_to_first_token import TIMES, WARM_UP_TIMES
from edge_operator.decide.analysis.share_test import REQUESTS, WARM_UP_REQUESTS
from edge_operator.decide.measurement import Counts
from edgemodel import metrics

TOKENS_PER_SECOND = 150
SHORT, LONG = (20, 100), (400, 1800)
"""Ranges of the lengths of prompts, in tokens."""


def cumulative(seconds: NDArray[np.float64], edges: tuple[float, ...]) -> dict[float, int]:
    """Returns the buckets of a histogram of ``seconds``."""
    every = (*edges, inf)
    return dict(zip(every, np.searchsorted(np.sort(seconds), every, side="right").tolist(), strict=True))


def first_tokens(
    draw: np.random.Generator,
    count: int,
    node: str = "camera-1",
    lengths: tuple[int, int] = SHORT,
    slower: float = 1.0,
    warm_up: bool = False,
) -> Counts:
    """Returns ``count`` requests with prompts of ``lengths``, whose first token comes ``slower`` times later than
    usual."""
    tokens = draw.integers(*lengths, endpoint=True, size=count)
    seconds = slower * (0.02 + tokens / TOKENS_PER_SECOND) * draw.lognormal(0, 0.2, count)
    buckets = np.searchsorted(metrics.PROMPT_BUCKETS, tokens)
    strata = {
        str(metrics.PROMPT_BUCKETS[place]): cumulative(seconds[buckets == place], metrics.FIRST_TOKEN_BUCKETS)
        for place in sorted(set(buckets.tolist()))
    }
    times, requests = (WARM_UP_TIMES, WARM_UP_REQUESTS) if warm_up else (TIMES, REQUESTS)
    return Counts(node, {times: strata, requests: {metrics.OK: count}})


def both(one: Counts, other: Counts) -> Counts:
    """Returns the requests of two samples of the same node, with different lengths of prompts or of its warm-up."""
    values = dict(one.values)
    for series, of in other.values.items():
        values[series] = series.merge([values[series], of]) if series in values else of
    return Counts(one.node, values)


def gaps(draw: np.random.Generator, count: int, node: str = "camera-1", slower: float = 1.0) -> Counts:
    """Returns ``count`` requests whose tokens come ``slower`` times further apart than usual, which is 25 ms."""
    found = slower * 0.025 * draw.lognormal(0, 0.2, count)
    return Counts(node, {GAPS: cumulative(found, metrics.INTER_TOKEN_BUCKETS), REQUESTS: {metrics.OK: count}})
