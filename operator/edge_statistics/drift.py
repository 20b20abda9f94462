"""The factor by which the odds of a bad request moved on a control group, with its uncertainty.

``observed`` of ``total`` requests were bad where ``expected`` were expected. Were bad ones rare, the factor of their
rate, with a Gamma(START, START) distribution before, that is one around 1 and hardly certain, has the mean
``(observed + START) / (expected + START)`` and the relative variance ``1 / (observed + START)`` after (the conjugate
prior of a Poisson count; A. Gelman et al., *Bayesian Data Analysis*, section 2.6). Odds instead of rates keep shares
below 1; the variance of their logarithm has the term of the good ones as well (J. B. S. Haldane, *The estimation and
significance of the logarithm of a ratio of frequencies*, Annals of Human Genetics 20 (1956), 309-311).
"""

from typing import NamedTuple

START = 1.0


class Drift(NamedTuple):
    """The factor of odds, and the variance of its logarithm."""

    factor: float
    variance: float


def drift(observed: float, total: float, expected: float, expected_variance: float) -> Drift:
    """Returns the drift of ``observed`` bad ones of ``total`` against ``expected``, of which the variance is given."""
    good, expected_good = (max(total - bad, 0.0) + START for bad in (observed, expected))
    bad, expected_bad = observed + START, expected + START
    return Drift(
        bad / good / (expected_bad / expected_good),
        1 / bad + 1 / good + expected_variance * (1 / expected_bad + 1 / expected_good) ** 2,
    )
