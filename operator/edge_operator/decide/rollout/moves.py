"""The moves of a rollout; each pass makes one."""

from dataclasses import dataclass
from datetime import datetime

from edge_operator.decide.actions import SetPins
from edge_operator.decide.placement.cells import CellFailure


@dataclass(frozen=True)
class WaveState:
    """The state of the trial after the pass, which status remembers."""

    wave: int
    """The number of the wave, from 0."""
    started: datetime
    """The time at which the last nodes entered the wave."""
    held_since: datetime | None = None
    """The time since which the wave has soaked and the data do not decide; None otherwise."""
    controls: int = 0
    """The number of cells that stay on stable until the bake is through."""
    released: datetime | None = None
    """The time at which the bake was through, and the controls began to switch; None before."""


@dataclass(frozen=True)
class Hold:
    """The move that leaves the candidate where it is."""

    reason: str
    message: str
    state: WaveState
    pins: tuple[SetPins, ...]
    failures: tuple[CellFailure, ...]
    wake_at: datetime | None = None
    stalled: bool = False
    """True if a person must act; the rollout still goes on by itself when it can."""


@dataclass(frozen=True)
class Advance:
    """The move by which nodes enter the wave."""

    reason: str
    message: str
    state: WaveState
    pins: tuple[SetPins, ...]
    failures: tuple[CellFailure, ...]
    wake_at: datetime | None = None
    measuring_begins: bool = False
    """True if they are the first of their wave: what stable has done up to now is its baseline."""


@dataclass(frozen=True)
class Promote:
    """The move by which the candidate becomes stable."""

    failures: tuple[CellFailure, ...]


@dataclass(frozen=True)
class RollBack:
    """The move that rejects the candidate and takes it off every node."""

    reason: str
    message: str
    failures: tuple[CellFailure, ...]


Move = Hold | Advance | Promote | RollBack
