"""The facts that status remembers because the cluster forgets them; each pass parses and writes them once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.formats import MAX_MESSAGE_LENGTH, timestamp
from edge_operator.decide.timers import Pause

FORGOTTEN = "it failed long ago"
"""The message of a rejected revision whose own message is no longer known."""


@dataclass(frozen=True)
class Rejection:
    """A revision that is never tried again."""

    name: str
    reason: str
    message: str
    """The message; empty if status has no room for it."""
    time: str
    """The time as RFC 3339 in UTC, by which rejections are sorted."""

    @classmethod
    def now(cls, name: str, reason: str, message: str, now: datetime) -> "Rejection":
        return cls(name, reason, message[:MAX_MESSAGE_LENGTH], timestamp(now))

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> "Rejection":
        return cls(item["name"], item["reason"], item.get("message", ""), item["time"])

    def to_json(self, *, explained: bool) -> dict[str, str]:
        """Returns the rejection as in status; ``explained``: with its message."""
        message = {"message": self.message} if explained else {}
        return {"name": self.name, "reason": self.reason, **message, "time": self.time}


@dataclass(frozen=True)
class TrialMemory:
    """The contents of ``status.rollout``; the defaults hold before a trial has begun."""

    wave: int = 0
    started: datetime | None = None
    """The time at which the candidate's first wave began."""
    wave_started: datetime | None = None
    held_since: datetime | None = None
    pauses: tuple[Pause, ...] = ()
    analysis: Mapping[str, Any] | None = None
    """The parameters that the wave is judged by, in the form of ``analysis.WaveBaseline``."""

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> "TrialMemory":
        return cls(
            wave=item.get("wave", 0),
            started=_time(item.get("startedAt")),
            wave_started=_time(item.get("waveStartedAt")),
            held_since=_time(item.get("heldSince")),
            pauses=tuple(Pause.parse(pause) for pause in item.get("pauses") or ()),
            analysis=item.get("analysis"),
        )


NO_TRIAL = TrialMemory()


@dataclass(frozen=True)
class Remembered:
    """The status of an EdgeModel as the previous pass left it."""

    stable: str | None
    candidate: str | None
    rejected: tuple[Rejection, ...]
    trial: TrialMemory
    """The trial of the candidate."""
    checks: tuple[dict[str, Any], ...]
    """The entries of ``status.checks``, in the form of ``analysis.report``."""
    preflight: dict[str, Any] | None
    """The contents of ``status.preflight``, in the form of ``preflight``."""
    conditions: tuple[dict[str, Any], ...]

    @classmethod
    def parse(cls, status: Mapping[str, Any]) -> "Remembered":
        """Returns the parsed ``status``, which may be empty."""
        return cls(
            stable=status.get("stableRevision"),
            candidate=status.get("candidateRevision"),
            rejected=tuple(Rejection.parse(item) for item in status.get("rejectedRevisions") or ()),
            trial=TrialMemory.parse(status.get("rollout") or {}),
            checks=tuple(status.get("checks") or ()),
            preflight=status.get("preflight"),
            conditions=tuple(status.get("conditions") or ()),
        )

    def trial_of(self, target: str) -> TrialMemory:
        """Returns what is remembered of the trial of ``target``; the defaults if it was not on trial."""
        return self.trial if self.candidate == target else NO_TRIAL

    def checks_of(self, revision: str) -> list[dict[str, Any]]:
        """Returns the entries of ``status.checks`` that judge ``revision``."""
        return [row for row in self.checks if row.get("revision") == revision]


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
