"""The moves of a rollout, of which each pass makes one."""

from dataclasses import dataclass
from datetime import datetime

from edge_operator.decide.actions import SetPins
from edge_operator.decide.placement.node_health import NodeFailure


@dataclass(frozen=True)
class WaveState:
    """The state of the trial after the pass; status remembers it."""

    wave: int
    """From 0."""
    started: datetime
    """When the last nodes entered the wave."""
    held_since: datetime | None = None
    """Since when the wave has served its time and the data do not decide; None while that is not so."""


@dataclass(frozen=True)
class Hold:
    """The candidate stays where it is."""

    reason: str
    message: str
    state: WaveState
    pins: tuple[SetPins, ...]
    failures: tuple[NodeFailure, ...]
    wake_at: datetime | None = None
    stalled: bool = False
    """A person must act, though it goes on by itself when it can."""


@dataclass(frozen=True)
class Advance:
    """Nodes enter the wave."""

    reason: str
    message: str
    state: WaveState
    pins: tuple[SetPins, ...]
    failures: tuple[NodeFailure, ...]
    wake_at: datetime | None = None
    measuring_begins: bool = False
    """They are the first of their wave: what stable has done up to now is its baseline."""


@dataclass(frozen=True)
class Promote:
    """The candidate becomes stable."""

    failures: tuple[NodeFailure, ...]


@dataclass(frozen=True)
class RollBack:
    """The candidate is rejected, and leaves every node."""

    reason: str
    message: str
    failures: tuple[NodeFailure, ...]


Move = Hold | Advance | Promote | RollBack
