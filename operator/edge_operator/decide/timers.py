"""The clock of a rollout: every soak, bake and deadline excludes the time in which ``spec.rollout.paused`` is true."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edgemodel.status import Pause

MAX_PAUSES = 10


@dataclass(frozen=True)
class Timers:
    """The time of the pass, and the pauses that no timer counts."""

    now: datetime
    pauses: tuple[Pause, ...] = ()

    @classmethod
    def of(cls, remembered: Sequence[Pause], paused: bool, now: datetime) -> "Timers":
        """Returns the timers with the ``remembered`` pauses of status; a pause that began or ended since gets the time
        ``now``."""
        pauses = list(remembered)
        lasts = bool(pauses) and pauses[-1].until is None
        if paused and not lasts:
            pauses.append(Pause(now))
        elif lasts and not paused:
            pauses[-1] = replace(pauses[-1], until=now)
        return cls(now, tuple(pauses))

    @property
    def paused(self) -> bool:
        """Returns whether the last pause lasts."""
        return bool(self.pauses) and self.pauses[-1].until is None

    def elapsed(self, since: datetime) -> timedelta:
        """Returns the time from ``since`` to now, without pauses; negative if ``since`` is in the future."""
        lost = timedelta()
        for pause in self.pauses:
            overlap = min(pause.until or self.now, self.now) - max(pause.since, since)
            lost += max(overlap, timedelta())
        return self.now - since - lost

    def due(self, since: datetime, duration: timedelta) -> datetime | None:
        """Returns when ``duration`` will have elapsed, or did elapse; None while paused."""
        left = duration - self.elapsed(since)
        return None if self.paused and left > timedelta() else self.now + left

    def passed(self, since: datetime, duration: timedelta) -> bool:
        """Returns whether ``duration`` has elapsed since ``since``, without pauses."""
        return self.elapsed(since) >= duration

    @property
    def newest_pauses(self) -> tuple[Pause, ...]:
        """Returns the pauses that status has room for."""
        return self.pauses[-MAX_PAUSES:]
