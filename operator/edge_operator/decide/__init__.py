"""``decide(observation, now) -> Decision``: pure. No I/O, no clock, no logging."""

from edge_operator.decide.decision import Decision, decide

__all__ = ["Decision", "decide"]
