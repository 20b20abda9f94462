"""The verdict of one check, in the Job's gate as well as on the nodes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """No data is never good or bad: it is Inconclusive."""

    PASS = "Pass"  # noqa: S105 - not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True)
class CheckResult:
    """One limit, judged. ``observed`` and ``limit`` are decimal strings in the unit that ``name`` carries."""

    name: str
    verdict: Verdict
    observed: str
    limit: str
    sample_count: int
    message: str
    """Observed and limit with units, e.g. ``accuracy drops 3.0 %, limit 0.5 % (n = 2000)``."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "observed": self.observed,
            "limit": self.limit,
            "sampleCount": self.sample_count,
            "message": self.message,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CheckResult":
        return cls(
            name=value["name"],
            verdict=Verdict(value["verdict"]),
            observed=value["observed"],
            limit=value["limit"],
            sample_count=value["sampleCount"],
            message=value["message"],
        )
