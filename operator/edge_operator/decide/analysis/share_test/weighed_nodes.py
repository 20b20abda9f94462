"""The nodes on trial with their weights, and the log-likelihood ratio of one increase against another over all."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_operator.decide.analysis.power import Pool
from edge_operator.decide.analysis.share_test.dispersion_weights import dispersion_weights, mean_weight
from edge_operator.decide.analysis.share_test.expected_share import Expected, Known, expected_of
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.measurement import Counts
from edge_statistics.sequential import Stratum, log_likelihood_ratio, two_shares


@dataclass(frozen=True)
class Weighed:
    """The nodes on trial with requests, and the weights of their ratios: against the expected share, and against the
    limit."""

    expected: Sequence[Expected]
    at_expected: Sequence[float]
    at_limit: Sequence[float]

    @classmethod
    def of(cls, trial: Sequence[Counts], measure: Measure, known: Known) -> "Weighed | None":
        """Returns the nodes of ``trial``; None if none can be compared."""
        expected = [item for counts in trial if (item := expected_of(counts, measure, known)) is not None]
        return cls(expected, *dispersion_weights(expected, known.drift)) if expected else None

    def pool(self) -> Pool:
        """Returns the counts of all nodes together."""
        strata = [item.stratum for item in self.expected]
        bad, total = sum(s.bad for s in strata), sum(s.total for s in strata)
        p0, p1 = sum(s.p0 * s.total for s in strata) / total, sum(s.p1 * s.total for s in strata) / total
        worth = mean_weight([item.worth for item in self.expected], strata)
        return Pool(
            bad, total, p0, p1, mean_weight(self.at_expected, strata), mean_weight(self.at_limit, strata), worth
        )

    def ratio(self, weights: Sequence[float], null: float, alternative: float) -> float:
        """Returns the log-likelihood ratio of ``alternative`` against ``null``, both multiples of the increase."""
        low, high = sorted((null, alternative))
        of_high = log_likelihood_ratio(_against(self.expected, weights, low, high))
        return of_high if alternative > null else -of_high


def _against(expected: Sequence[Expected], weights: Sequence[float], null: float, multiple: float) -> list[Stratum]:
    """Returns the weighted strata with ``null`` times the increase as ``p0`` and ``multiple`` times it as ``p1``."""
    found = []
    for item, weight in zip(expected, weights, strict=True):
        bad, total, p0, p1 = item.stratum
        found.append(Stratum(weight * bad, weight * total, *two_shares(p0, p1, null, multiple)))
    return found
