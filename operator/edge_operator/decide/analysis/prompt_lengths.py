"""The comparison of times at the same lengths of prompts: direct standardization, stratum by stratum.

The time to the first token grows with the prompt. A node's histogram from before its switch is therefore weighted so
that each stratum, a bucket of lengths, has the part that it has among the node's requests since. Weighted requests are
worth fewer than they are (Kish, Survey Sampling, 1965: the square of the sum of the weights over the sum of their
squares), and the histogram has that number. Lengths that the node hardly had before are compared with nothing, and left
out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf

from edge_operator.decide.analysis.evidence import ControlGroup, Evidence
from edge_operator.decide.measurement import Baseline, Counts, StratifiedHistogram

MIN_BEFORE = 10
"""The number of requests of a length before the switch from which it is compared."""

Buckets = Mapping[float, int]
"""The cumulative counts by upper edge, including infinity."""
Strata = Mapping[str, Buckets]


def at_the_same_lengths(evidence: Evidence, times: StratifiedHistogram, warm_up: StratifiedHistogram) -> Evidence:
    """Returns ``evidence`` with histograms of all lengths together, those of before at the lengths of now.

    The warm-ups of stable's servers, of which all nodes show what is expected of one, are weighted to the lengths of
    all warm-ups on trial.
    """
    trial, control, baseline = _matched(evidence.trial, evidence.control, evidence.baseline, times)
    warm_ups = [warm_up.of(counts) for counts in trial]
    known = {length for counts in baseline for length in _known(warm_up.of(counts))}
    lengths: dict[str, int] = {}
    for strata in warm_ups:
        for length, count in _totals(strata).items():
            lengths[length] = lengths.get(length, 0) + count
    return replace(
        evidence,
        trial=tuple(_with(item, warm_up, _sum(warm_up.of(item), known or lengths)) for item in trial),
        control=control,
        baseline=Baseline(_with(item, warm_up, _standardized(warm_up.of(item), lengths)) for item in baseline),
        others=tuple(_of_group(group, times) for group in evidence.others),
    )


def _of_group(group: ControlGroup, times: StratifiedHistogram) -> ControlGroup:
    _, control, baseline = _matched((), group.control, group.baseline, times)
    return replace(group, control=control, baseline=baseline)


def _matched(
    trial: tuple[Counts, ...], control: tuple[Counts, ...], baseline: tuple[Counts, ...], times: StratifiedHistogram
) -> tuple[tuple[Counts, ...], tuple[Counts, ...], Baseline]:
    """Returns the same windows, in which each node has its histogram of all lengths that it had before as well."""
    since = {counts.node: _totals(times.of(counts)) for counts in (*control, *trial)}
    before = {counts.node: _known(times.of(counts)) for counts in baseline if times.of(counts)}

    def now(counts: Counts) -> Counts:
        strata = times.of(counts)
        return _with(counts, times, _sum(strata, before.get(counts.node, strata)))

    def then(counts: Counts) -> Counts:
        strata = times.of(counts)
        return _with(counts, times, _standardized(strata, since.get(counts.node) or _totals(strata)))

    return tuple(map(now, trial)), tuple(map(now, control)), Baseline(map(then, baseline))


def _with(counts: Counts, times: StratifiedHistogram, buckets: Buckets) -> Counts:
    """Returns ``counts`` with ``buckets`` as the histogram of all lengths, if anything is in them."""
    return replace(counts, values={**counts.values, times.whole: buckets}) if buckets else counts


def _totals(strata: Strata) -> dict[str, int]:
    return {length: buckets.get(inf, 0) for length, buckets in strata.items()}


def _known(strata: Strata) -> set[str]:
    return {length for length, total in _totals(strata).items() if total >= MIN_BEFORE}


def _sum(strata: Strata, lengths: Iterable[str]) -> Buckets:
    """Returns the histogram of these lengths together."""
    return _weighted([(1.0, strata[length]) for length in lengths if length in strata])


def _standardized(strata: Strata, lengths: Mapping[str, int]) -> Buckets:
    """Returns the histogram with the parts that ``lengths`` have, and as many requests as it is worth then."""
    totals = {length: total for length, total in _totals(strata).items() if length in _known(strata)}
    wanted = {length: lengths[length] for length in totals if lengths.get(length)}
    if not wanted:
        return {}
    # The weight of a request; all of them together weigh 1.
    weights = {length: count / sum(wanted.values()) / totals[length] for length, count in wanted.items()}
    worth = 1 / sum(weight**2 * totals[length] for length, weight in weights.items())
    return _weighted([(worth * weight, strata[length]) for length, weight in weights.items()])


def _weighted(parts: list[tuple[float, Buckets]]) -> Buckets:
    """Returns the weighted sum of histograms at the edges that all have, in whole requests."""
    edges = set.intersection(*(set(buckets) for _, buckets in parts)) if parts else set()
    return {edge: round(sum(weight * buckets[edge] for weight, buckets in parts)) for edge in edges}
