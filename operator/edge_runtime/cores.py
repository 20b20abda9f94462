"""The cores that this process may use."""

import math
import os
from pathlib import Path


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Returns how many cores the affinity and the CPU limit allow, the limit rounded up; at least 1.

    In a pod with a CPU limit, more threads would wait for each other. ``quota`` holds the microseconds of processor
    time in each period, and the period.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        limit, period = quota.read_text().split()
        return max(1, min(allowed, math.ceil(int(limit) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup v2 here, or no limit ("max")
        return allowed
