"""The parameters that a wave is judged by, fixed in status when its measurement begins.

Pooled that moved with the data would be no limits, and neither a Prometheus that lost its data nor an operator that
restarts may change them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from edge_operator.decide.analysis.checks import checks_hash, plan_checks
from edge_operator.decide.analysis.evidence import ALPHA, BETA, Judged
from edge_operator.decide.analysis.pooled import Pooled
from edge_statistics.shrinkage import Prior
from edgemodel.analysis import Analysis
from edgemodel.status import StoredAnalysis, StoredBaseline

MAX_BASELINES = 80


@dataclass(frozen=True)
class WaveBaseline:
    """The parameters of one wave."""

    since: datetime
    """The beginning of the measurement: stable before then is the baseline, the candidate since then is judged."""
    checks_hash: str
    alpha: float
    """The share of ALPHA for each check and variant."""
    baselines: Mapping[tuple[str, str, str], Pooled] = field(default_factory=dict)
    """The limits pooled over the nodes by (check, variant, measure), from the first time that there are any."""

    @classmethod
    def begin(cls, analysis: Analysis, variants: int, now: datetime) -> "WaveBaseline":
        """Returns the parameters of the wave that begins ``now``.

        The checks that can fail by chance share ALPHA, each once for every variant that it judges.
        """
        chances = [check for check in plan_checks(analysis) if check.type.statistical]
        judged = sum(max(variants, 1) if check.type.per_variant else 1 for check in chances)
        return cls(now.replace(microsecond=0), checks_hash(analysis), ALPHA / max(judged, 1))

    @classmethod
    def of(cls, remembered: StoredAnalysis | None, analysis: Analysis) -> "WaveBaseline | None":
        """Returns the contents of ``status.rollout.analysis``; None if there are none, or they are about other checks.

        Raises ValueError for a text that is no decimal.
        """
        if remembered is None or remembered.checks_hash != checks_hash(analysis):
            return None
        return cls(
            since=remembered.since,
            checks_hash=remembered.checks_hash,
            alpha=float(remembered.alpha),
            baselines={(item.check, item.variant, item.measure): _pooled(item) for item in remembered.baselines},
        )

    def of_variant(self, variant: str) -> dict[tuple[str, str], Pooled]:
        """Returns what is known of ``variant`` before the wave, by (check, measure)."""
        return {
            (check, measure): limits for (check, name, measure), limits in self.baselines.items() if name == variant
        }

    def with_baselines(self, judged: tuple[Judged, ...]) -> "WaveBaseline":
        """Returns a copy with the limits that were pooled for the first time; existing ones stay."""
        found = {(j.name, j.variant, measure): limits for j in judged for measure, limits in j.pooled.items()}
        return replace(self, baselines={**found, **self.baselines})

    def stored(self) -> StoredAnalysis:
        """Returns the form in status: decimals of six significant digits, and at most as many baselines as fit."""
        rows = sorted(self.baselines.items())[:MAX_BASELINES]
        return StoredAnalysis(
            since=self.since,
            checks_hash=self.checks_hash,
            alpha=_decimal(self.alpha),
            beta=_decimal(BETA),
            baselines=tuple(
                StoredBaseline(
                    check=check,
                    variant=variant,
                    measure=measure,
                    request_count=pooled.requests,
                    expected=_decimal(pooled.prior.mean),
                    strength=_decimal(pooled.prior.strength),
                    design_effect=_decimal(pooled.design_effect),
                )
                for (check, variant, measure), pooled in rows
            ),
        )


def _decimal(value: float) -> str:
    return f"{value:.6g}"


def _pooled(stored: StoredBaseline) -> Pooled:
    return Pooled(
        Prior(float(stored.expected), float(stored.strength)), stored.request_count, float(stored.design_effect)
    )
