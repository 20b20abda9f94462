"""The factor by which the odds of a bad request moved on a control group, with its uncertainty.

``observed`` of ``total`` requests were bad where ``expected`` were expected. Were bad ones rare, the factor of their
rate, with a Gamma(a, a) distribution before, that is one around 1, has the mean ``(observed + a) / (expected + a)`` and
the relative variance ``1 / (observed + a)`` after (the conjugate prior of a Poisson count; A. Gelman et al., *Bayesian
Data Analysis*, section 2.6). Before, it is as likely from each of USUAL, in which factors near 1 are expected, and
BREAK, in which any are: where all inputs are broken from now on, a hundred times as many requests fail. The counts tell
which (mixtures of conjugate priors; P. Diaconis and D. Ylvisaker, *Quantifying prior opinion*, Bayesian Statistics 2
(1985), 133-156).

Odds instead of rates keep shares below 1; the variance of their logarithm has the term of the good ones as well
(J. B. S. Haldane, *The estimation and significance of the logarithm of a ratio of frequencies*, Annals of Human
Genetics 20 (1956), 309-311).
"""

from math import exp, lgamma, log
from typing import NamedTuple

USUAL, BREAK = 1.0, 0.1
"""The parameters ``a`` of the two distributions."""


class OddsDrift(NamedTuple):
    """The factor of odds, and the variance of its logarithm."""

    factor: float
    variance: float


def drift(observed: float, total: float, expected: float, expected_variance: float) -> OddsDrift:
    """Returns the drift of ``observed`` bad ones of ``total`` against ``expected``, of which the variance is given."""
    logs = [_log_marginal(observed, expected, a) for a in (USUAL, BREAK)]
    weights = [exp(item - max(logs)) for item in logs]
    usual = weights[0] / sum(weights)
    mean = second = 0.0
    for a, weight in ((USUAL, usual), (BREAK, 1 - usual)):
        bad, factor = observed + a, (observed + a) / (expected + a)
        mean += weight * factor
        second += weight * factor**2 * (1 + 1 / bad)
    good, expected_good = (max(total - bad, 0.0) + USUAL for bad in (observed, expected))
    expected_bad = expected + usual * USUAL + (1 - usual) * BREAK
    return OddsDrift(
        mean * expected_good / good,
        second / mean**2 - 1 + 1 / good + expected_variance * (1 / expected_bad + 1 / expected_good) ** 2,
    )


def bounds(observed: float, total: float, expected: float) -> tuple[float, float]:
    """Returns two factors between which that of ``drift`` lies; they cost far less."""
    good, expected_good = (max(total - bad, 0.0) + USUAL for bad in (observed, expected))
    usual, of_break = ((observed + a) / (expected + a) * expected_good / good for a in (USUAL, BREAK))
    return min(usual, of_break), max(usual, of_break)


def _log_marginal(observed: float, expected: float, a: float) -> float:
    """Returns the logarithm of the probability of ``observed``, but for a term without ``a`` (negative binomial)."""
    return lgamma(observed + a) - lgamma(a) + a * log(a) - (observed + a) * log(expected + a)
