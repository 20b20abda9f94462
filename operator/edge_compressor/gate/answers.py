"""The input of the gate from an evaluation: the answers of source and artifact, with intervals."""

from dataclasses import dataclass
from typing import Any, Final

from edge_statistics.interval import Interval
from edge_statistics.tango import tango_interval
from edge_statistics.wilson import wilson_interval


@dataclass(frozen=True)
class PairedAnswers:
    """The counts of right answers of source and artifact to the same samples."""

    samples: int
    source_right: int
    artifact_right: int
    only_source_right: int
    only_artifact_right: int

    @property
    def drop(self) -> float:
        """The drop of accuracy, source minus artifact, in -1..1."""
        return (self.only_source_right - self.only_artifact_right) / self.samples


@dataclass(frozen=True)
class PairedScores:
    """Scores, in 0..1, that are not counts of right answers, such as mAP; with intervals of 90 % (``bootstrap``)."""

    samples: int
    source: float
    artifact: float
    interval: Interval
    """The interval of the drop."""
    artifact_interval: Interval
    """The interval of the artifact's own score."""

    @property
    def drop(self) -> float:
        """The drop of the score, source minus artifact, in -1..1."""
        return self.source - self.artifact


MAX_RISE: Final = 1e6
"""The largest share that is told: a perplexity that rises further says nothing more."""
_MAX_BITS: Final = 20.0


@dataclass(frozen=True)
class OwnAnswers:
    """The right answers of the artifact alone."""

    samples: int
    right: int


@dataclass(frozen=True)
class OwnScore:
    """A score, in 0..1, that is not a count of right answers, with its interval of 90 %."""

    samples: int
    score: float
    interval: Interval


Paired = PairedAnswers | PairedScores
Own = OwnAnswers | OwnScore


@dataclass(frozen=True)
class PerplexityChange:
    """The change of the perplexity of texts, artifact against source, on the same tokens."""

    texts: int
    tokens: int
    bits: float
    """The bits per token that the artifact needs more than the source; below 0 if it needs fewer."""
    interval: Interval
    """The 90 % interval of ``bits``, by texts."""

    @property
    def increase(self) -> float:
        """The share by which the perplexity rises; 0.05 for 5 %."""
        return rise(self.bits)


@dataclass(frozen=True)
class Alike:
    """The answers that artifact and source give alike."""

    own: Own
    """Their share, with what its interval needs."""
    counted: int
    """The number of answers."""
    what: str
    """The answers, for messages, such as ``greedy tokens``."""


@dataclass(frozen=True)
class WorstOutput:
    """The output of the artifact with the largest relative error, in percent, against the source's."""

    output: str
    percent: float
    samples: int
    data: str
    """The data that it was measured on, such as ``calibration set``."""


def rise(bits: float) -> float:
    """Returns the share by which a perplexity rises with that many ``bits`` per token; at most MAX_RISE."""
    return min(2.0**bits - 1, MAX_RISE) if bits < _MAX_BITS else MAX_RISE


def drop_interval(answers: Paired) -> Interval:
    """Returns the 90 % interval of the drop: Tango's for right and wrong answers."""
    if isinstance(answers, PairedScores):
        return answers.interval
    return tango_interval(answers.only_source_right, answers.only_artifact_right, answers.samples)


def own_of(answers: Paired | None) -> Own | None:
    """Returns the part of a paired comparison that concerns the artifact alone."""
    if isinstance(answers, PairedScores):
        return OwnScore(answers.samples, answers.artifact, answers.artifact_interval)
    return None if answers is None else OwnAnswers(answers.samples, answers.artifact_right)


def own_interval(own: Own) -> Interval:
    """Returns the 90 % interval of the artifact's own score: Wilson's for right and wrong answers."""
    return own.interval if isinstance(own, OwnScore) else wilson_interval(own.right, own.samples)


def drop_json(answers: Paired) -> dict[str, Any]:
    """Returns the drop of accuracy with its interval and the counts behind it, for the manifest."""
    interval = drop_interval(answers)
    counted = {}
    if isinstance(answers, PairedAnswers):
        counted = {"onlySourceRight": answers.only_source_right, "onlyArtifactRight": answers.only_artifact_right}
    return {
        "percent": round(answers.drop * 100, 4),
        "lowerPercent": round(interval.lower * 100, 4),
        "upperPercent": round(interval.upper * 100, 4),
        "confidencePercent": 90,
        "interval": "Bootstrap" if isinstance(answers, PairedScores) else "Tango",
        **counted,
    }


def share_right(own: Own) -> float:
    """Returns the artifact's own score, in 0..1."""
    return own.score if isinstance(own, OwnScore) else own.right / own.samples
