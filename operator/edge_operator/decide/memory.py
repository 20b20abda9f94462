"""The facts that status remembers because the cluster forgets them: parsed and written once a pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.formats import MAX_MESSAGE_LENGTH, timestamp
from edge_operator.decide.timers import Pause

FORGOTTEN = "it failed long ago"
"""Stands for the message of a revision whose message is gone, and the revision with it."""


@dataclass(frozen=True)
class Rejection:
    """A revision that is never entered again."""

    name: str
    reason: str
    message: str
    """Empty where status has no room for it any more."""
    time: str
    """RFC 3339 in UTC, by which rejections are sorted."""

    @classmethod
    def now(cls, name: str, reason: str, message: str, now: datetime) -> "Rejection":
        return cls(name, reason, message[:MAX_MESSAGE_LENGTH], timestamp(now))

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> "Rejection":
        return cls(item["name"], item["reason"], item.get("message", ""), item["time"])

    def to_json(self, *, explained: bool) -> dict[str, str]:
        """``explained``: with its message."""
        message = {"message": self.message} if explained else {}
        return {"name": self.name, "reason": self.reason, **message, "time": self.time}


@dataclass(frozen=True)
class TrialMemory:
    """``status.rollout``; as it is here before a trial has begun."""

    wave: int = 0
    started: datetime | None = None
    """When the candidate's first wave began."""
    wave_started: datetime | None = None
    held_since: datetime | None = None
    pauses: tuple[Pause, ...] = ()
    analysis: Mapping[str, Any] | None = None
    """By what the wave is judged, as ``analysis.WaveBaseline`` writes and reads it."""

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
    """The status of an EdgeModel as the pass before left it."""

    stable: str | None
    candidate: str | None
    rejected: tuple[Rejection, ...]
    trial: TrialMemory
    """The candidate's."""
    checks: tuple[dict[str, Any], ...]
    """As ``analysis.report`` writes and reads them."""
    preflight: dict[str, Any] | None
    """As ``preflight`` writes and reads it."""
    conditions: tuple[dict[str, Any], ...]

    @classmethod
    def parse(cls, status: Mapping[str, Any]) -> "Remembered":
        """Returns what ``status`` says, which may be empty."""
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
        """Returns what is remembered of the trial of ``target``: nothing where it was not on trial."""
        return self.trial if self.candidate == target else NO_TRIAL

    def checks_of(self, revision: str) -> list[dict[str, Any]]:
        """Returns the rows of ``status.checks`` that judge ``revision``."""
        return [row for row in self.checks if row.get("revision") == revision]


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
