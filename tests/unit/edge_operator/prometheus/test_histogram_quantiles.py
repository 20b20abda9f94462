"""Quantiles compared with those of a real Prometheus for the same histograms."""

from datetime import UTC, datetime
from itertools import accumulate
from math import inf, nan
from pathlib import Path
from random import Random

import pytest

from edge_operator.prometheus import Prometheus, PrometheusSettings
from edge_statistics.histogram import quantile
from edgemodel.metrics import DURATION_BUCKETS
from tests.support.prometheus import History, run_prometheus

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
EDGES = (*DURATION_BUCKETS, inf)
BY_HAND = {
    "one observation": {0.1: 0, 1.0: 1, inf: 1},
    "all in the first": {0.1: 8, 1.0: 8, inf: 8},
    "all beyond the last edge": {0.1: 0, 1.0: 0, inf: 5},
    "half beyond the last edge": {0.1: 2, 1.0: 5, inf: 10},
    "a gap in the middle": {0.1: 5, 0.2: 5, 0.4: 5, 0.8: 10, inf: 10},
    "no observation": {0.1: 0, 1.0: 0, inf: 0},
    "no edge but infinity": {inf: 7},
    "no bucket of infinity": {0.1: 3, 1.0: 5},
}
QUANTILES = (0.01, 0.25, 0.5, 0.9, 0.99, 1.0)


def generated(random: Random) -> dict[float, int]:
    """Returns a histogram with many empty buckets, and some of thousands."""
    size = random.choice((3, 100, 10_000))
    counts = [random.choice((0, 0, 1, random.randrange(size))) for _ in EDGES]
    return dict(zip(EDGES, accumulate(counts), strict=True))


HISTOGRAMS = {**BY_HAND, **{f"generated {seed}": generated(Random(seed)) for seed in range(40)}}


@pytest.mark.lab_programs
async def test_quantiles_are_those_of_prometheus(tmp_path: Path) -> None:
    """Prometheus' NaN is None here."""
    past = History()
    for name, buckets in HISTOGRAMS.items():
        for edge, count in buckets.items():
            labels = {"case": name, "le": "+Inf" if edge == inf else str(edge)}
            past.add("seconds_bucket", labels, [(AT.timestamp(), count)])
    with run_prometheus(tmp_path, past) as address:
        async with Prometheus(PrometheusSettings(f"http://{address}")) as prometheus:
            for q in QUANTILES:
                answer = await prometheus.vector(f"histogram_quantile({q}, seconds_bucket)", AT)
                theirs = {sample.labels["case"]: sample.value for sample in answer}
                ours = {name: quantile(buckets, q) for name, buckets in HISTOGRAMS.items()}
                known = {name: nan if value is None else value for name, value in ours.items()}
                assert known == pytest.approx(theirs, rel=1e-12, abs=0, nan_ok=True)


def test_without_buckets_there_is_no_quantile() -> None:
    assert quantile({}, 0.5) is None
