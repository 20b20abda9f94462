"""The decisions: ``decide(observation, now) -> Decision``. Pure: no I/O, no clock, no logging."""

from edge_operator.decide.decision import Decision, decide

__all__ = ["Decision", "decide"]
