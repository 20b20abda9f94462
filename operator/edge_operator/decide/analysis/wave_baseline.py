"""The parameters that a wave is judged by, fixed in status when its measurement begins.

Limits that moved with the data would be no limits, and neither a Prometheus that lost its data nor an operator that
restarts may change them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from edge_operator.decide.analysis.checks import checks_hash, plan_checks
from edge_operator.decide.analysis.evidence import ALPHA, BETA, Judged
from edge_operator.decide.analysis.limits import Limits
from edge_operator.decide.formats import timestamp
from edgemodel.analysis import Analysis

MAX_BASELINES = 80


@dataclass(frozen=True)
class WaveBaseline:
    since: datetime
    """The beginning of the measurement: stable before then is the baseline, the candidate since then is judged."""
    checks_hash: str
    alpha: float
    """The share of ALPHA for each check and variant."""
    baselines: Mapping[tuple[str, str, str], Limits] = field(default_factory=dict)
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
    def of(cls, remembered: Mapping[str, Any] | None, analysis: Analysis) -> "WaveBaseline | None":
        """Returns the contents of ``status.rollout.analysis``; None if there are none, or they are about other
        checks."""
        if not remembered or remembered.get("checksHash") != checks_hash(analysis):
            return None
        return cls(
            since=datetime.fromisoformat(remembered["since"]),
            checks_hash=remembered["checksHash"],
            alpha=float(remembered["alpha"]),
            baselines={
                (item["check"], item["variant"], item["measure"]): _limits(item)
                for item in remembered.get("baselines") or ()
            },
        )

    def of_variant(self, variant: str) -> dict[tuple[str, str], Limits]:
        return {
            (check, measure): limits for (check, name, measure), limits in self.baselines.items() if name == variant
        }

    def with_baselines(self, judged: tuple[Judged, ...]) -> "WaveBaseline":
        """Returns a copy with the limits that were pooled for the first time; existing ones stay."""
        found = {(j.name, j.variant, measure): limits for j in judged for measure, limits in j.pooled.items()}
        return replace(self, baselines={**found, **self.baselines})

    def to_json(self) -> dict[str, Any]:
        rows = sorted(self.baselines.items())[:MAX_BASELINES]
        return {
            "since": timestamp(self.since),
            "checksHash": self.checks_hash,
            "alpha": f"{self.alpha:.6g}",
            "beta": f"{BETA:.6g}",
            "baselines": [
                {
                    "check": check,
                    "variant": variant,
                    "measure": measure,
                    "requestCount": limits.requests,
                    "expected": f"{limits.p0:.6g}",
                    "upperLimit": f"{limits.p1:.6g}",
                    **({"bucketSeconds": f"{limits.edge:.6g}"} if limits.edge is not None else {}),
                }
                for (check, variant, measure), limits in rows
            ],
        }


def _limits(item: Mapping[str, Any]) -> Limits:
    edge = item.get("bucketSeconds")
    return Limits(
        p0=float(item["expected"]),
        p1=float(item["upperLimit"]),
        requests=item["requestCount"],
        edge=None if edge is None else float(edge),
    )
