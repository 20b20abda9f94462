"""The verdict of one check, in the Job's gate as well as on the nodes."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The result of a check. Missing data are neither good nor bad: they are Inconclusive."""

    PASS = "Pass"  # noqa: S105 - not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True)
class CheckResult:
    """The result for one limit. ``observed`` and ``limit`` are decimal strings in the unit that ``name`` carries."""

    name: str
    verdict: Verdict
    observed: str
    limit: str
    sample_count: int
    message: str
    """The observed value and the limit with units, such as ``accuracy drops 3.0 %, limit 0.5 % (n = 2000)``."""
