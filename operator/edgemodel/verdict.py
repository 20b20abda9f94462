"""The verdict of one check, in the Job's gate as well as on the nodes."""

from dataclasses import dataclass
from enum import StrEnum


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
