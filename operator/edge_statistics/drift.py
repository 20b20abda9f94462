"""The factor by which a share moved on a control group, with its uncertainty.

``observed`` bad ones came where ``expected`` were expected. With a Gamma(START, START) distribution of the factor
before, that is one around 1 and hardly certain, it is ``(observed + START) / (expected + START)`` after (the conjugate
prior of a Poisson count; A. Gelman et al., *Bayesian Data Analysis*, section 2.6).
"""

from typing import NamedTuple

START = 1.0


class Drift(NamedTuple):
    factor: float
    relative_variance: float
    """The variance of the factor, relative to its square."""


def drift(observed: float, expected: float, expected_variance: float) -> Drift:
    """Returns the drift of ``observed`` bad ones against ``expected``, of which the variance is given."""
    return Drift(
        (observed + START) / (expected + START),
        1 / (observed + START) + expected_variance / (expected + START) ** 2,
    )
