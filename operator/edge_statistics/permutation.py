"""Permutation test of two independent samples by the difference of their means.

E. J. G. Pitman, *Significance tests which may be applied to samples from any populations*, Supplement to the Journal
of the Royal Statistical Society 4 (1937), 119-130. If it makes no difference which of the values were treated,
every choice of as many of them is equally likely, and the share of the choices whose mean is at least as far above the
rest's is the probability of such a finding. Nothing is assumed of how the values are spread.

All choices are counted while there are at most EXACT of them. Beyond, SAMPLED random ones are, and the choice that was
found beside them, which keeps the test valid: B. Phipson, G. K. Smyth, *Permutation p-values should never be zero*,
Statistical Applications in Genetics and Molecular Biology 9 (2010), article 39.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb
from random import Random

EXACT = 20_000
SAMPLED = 999
_SLACK = 1e-12
"""The allowance for rounding: sums of the same numbers in another order differ in their last bits."""


def p_above(treated: Sequence[float], others: Sequence[float]) -> float:
    """Returns the probability, in 0..1, that chance alone puts the mean of ``treated`` so far above that of
    ``others``.

    The smallest possible result is one in the number of choices: 1/20 for three against three. The same values always
    give the same result. Raises ValueError if one side is empty.
    """
    if not treated or not others:
        raise ValueError("both sides need a value")
    return _p_above(tuple(treated), tuple(others))


@lru_cache(256)
def _p_above(treated: tuple[float, ...], others: tuple[float, ...]) -> float:
    """Computes the probability; cached, because every pass asks and few have new measurements."""
    values = [*treated, *others]
    size, found = len(treated), sum(treated)
    least = found - _SLACK * (1 + abs(found))
    if comb(len(values), size) <= EXACT:
        sums = [sum(choice) for choice in combinations(values, size)]
        return sum(value >= least for value in sums) / len(sums)
    random = Random(0)  # noqa: S311 - not a secret; and the same answer in every pass
    above = sum(sum(random.sample(values, size)) >= least for _ in range(SAMPLED))
    return (above + 1) / (SAMPLED + 1)
