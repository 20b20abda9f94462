"""The choice among the candidates that were kept: one, or none if the source serves as well."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from edge_compressor.search.trial import NOISE, SearchTrial
from edgemodel.verdict import Verdict

OBJECTIVES: Final = ("Balanced", "Speed", "Size")


@dataclass(frozen=True)
class SearchChoice:
    """The result of a search."""

    trial: SearchTrial | None
    """The trial that was chosen; None: the source is served."""
    reason: str


def score(trial: SearchTrial, objective: str, source_transfer_bytes: int) -> float:
    """Returns the score of a trial; that of the source is 1, and more is better.

    Speed: the speed relative to the source, where a tie counts as 1. Size: the ratio of the bytes that a node
    downloads. Balanced: the geometric mean of both, so that twice the speed weighs as much as half the bytes.
    """
    assert trial.transfer_bytes is not None
    smaller = source_transfer_bytes / trial.transfer_bytes
    if objective == "Speed":
        return trial.credited_speed
    return smaller if objective == "Size" else sqrt(trial.credited_speed * smaller)


def choose(trials: Sequence[SearchTrial], objective: str, source_transfer_bytes: int) -> SearchChoice:
    """Returns the best by ``objective``; among those within noise of it, the one with the fewest bytes to download."""
    kept = [trial for trial in trials if trial.kept]
    if not kept:
        return SearchChoice(None, f"serve the source: {_why_none(trials)}")
    best = max(score(trial, objective, source_transfer_bytes) for trial in kept)
    if best <= 1 + NOISE:
        return SearchChoice(None, f"serve the source: none of {len(kept)} that keep the budget is better ({objective})")
    near = [trial for trial in kept if score(trial, objective, source_transfer_bytes) * (1 + NOISE) >= best]
    taken = min(near, key=lambda trial: (trial.transfer_bytes or 0, str(trial.recipe)))
    assert taken.speed is not None
    assert taken.transfer_bytes is not None
    smaller = source_transfer_bytes / taken.transfer_bytes
    gains = f"{taken.speed.ratio:.2f} times as fast, {smaller:.2f} times fewer bytes to download"
    return SearchChoice(taken, f"{taken.recipe}: best of {len(kept)} that keep the budget ({objective}): {gains}")


def _why_none(trials: Sequence[SearchTrial]) -> str:
    if not trials:
        return "nothing was tried"
    undecided = [trial for trial in trials if trial.accuracy and trial.accuracy.verdict is Verdict.INCONCLUSIVE]
    if undecided:
        return f"none of {len(trials)} tried is shown to keep the budget; {undecided[0].recipe}: {undecided[0].dropped}"
    return f"none of {len(trials)} tried keeps the budget at the speed of the source"
