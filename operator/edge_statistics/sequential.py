"""Wald's sequential probability ratio test of Bernoulli counts, stratified.

A. Wald, *Sequential tests of statistical hypotheses*, Annals of Mathematical Statistics 16 (1945), 117-186. With
``k`` bad ones of ``n`` in each stratum, a share of ``p0`` if nothing is wrong and of ``p1`` if it is,

    L = sum [k ln(p1 / p0) + (n - k) ln((1 - p1) / (1 - p0))]

is compared with ``ln((1 - beta) / alpha)`` above and ``ln(beta / (1 - alpha))`` below.

Against several alternatives at once, the mean of their ``exp(L)`` takes the place of one: it finds a candidate that
is far worse than ``p1`` much sooner (H. Robbins, *Statistical methods related to the law of the iterated logarithm*,
Annals of Mathematical Statistics 41 (1970), 1397-1409).

It may be looked at after every request and in between, for ever: while no true share exceeds its ``p0``, ``exp(L)``,
and a mean of several, is a supermartingale that begins at 1. So it ever reaches ``(1 - beta) / alpha`` with a
probability of at most ``alpha / (1 - beta)`` (J. Ville, *Etude critique de la notion de collectif*, 1939).
"""

from collections.abc import Iterable, Sequence
from math import exp, log
from typing import NamedTuple

from edge_statistics.interval import Interval


class Stratum(NamedTuple):
    """A stratum with ``bad`` of ``total``: a share of at most ``p0`` is expected, and ``p1``, above it, is too much.

    The counts may be fractions, which carry less weight.
    """

    bad: float
    total: float
    p0: float
    p1: float


def log_likelihood_ratio(strata: Iterable[Stratum]) -> float:
    """Returns ``L``: above 0 the counts speak for ``p1``, below for ``p0``.

    Raises ValueError unless ``0 < p0 < p1 < 1`` in each stratum.
    """
    total = 0.0
    for bad, count, p0, p1 in strata:
        if not 0 < p0 < p1 < 1:
            raise ValueError(f"want 0 < p0 < p1 < 1, not {p0} and {p1}")
        total += bad * log(p1 / p0) + (count - bad) * log((1 - p1) / (1 - p0))
    return total


def two_shares(p0: float, p1: float, null: float, alternative: float) -> tuple[float, float]:
    """Returns the shares with ``null`` and ``alternative`` times the increase from ``p0`` to ``p1``, 0 <= null <
    alternative.

    Each is at most halfway between the one below it and 1, so that both can be told apart whatever the increase is.
    """
    low = min(p0 + null * (p1 - p0), (1 + p1) / 2)
    return low, min(p0 + alternative * (p1 - p0), (1 + low) / 2)


def mixed(ratios: Sequence[float]) -> float:
    """Returns the logarithm of the mean of ``exp(L)``, for the ``L`` of alternatives that are equally likely."""
    largest = max(ratios)
    return largest + log(sum(exp(ratio - largest) for ratio in ratios) / len(ratios))


def boundaries(alpha: float, beta: float) -> Interval:
    """Returns the bounds of ``L`` between which nothing is decided.

    At the lower one and below, ``p1`` is rejected, wrongly with a probability of at most ``beta / (1 - alpha)``. At the
    upper one and above, ``p0`` is, wrongly with one of at most ``alpha / (1 - beta)``.
    """
    return Interval(log(beta / (1 - alpha)), log((1 - beta) / alpha))


def requests_to_pass(p0: float, p1: float, alpha: float, beta: float) -> int:
    """Returns how many requests in a row, all good, it takes to reach the lower bound."""
    return -int(-boundaries(alpha, beta).lower // log((1 - p1) / (1 - p0)))
