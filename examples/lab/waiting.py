"""Waits for a condition with a deadline: the one place that polls. Tests and the lab wait with this, never for a fixed
time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    *,
    timeout_s: float = 30.0,
    interval_s: float = 0.2,
    not_yet: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> T:
    """Returns the first truthy answer of ``probe``; an exception of ``not_yet`` counts as none, another is raised.

    Raises TimeoutError with ``what`` and the last answer or exception. The probe is called at least once.
    """
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        last: object
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except not_yet as error:  # a probe of something half-started may fail in any way
            last = error
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s; last seen: {last!r}")
        pause.wait(interval_s)
