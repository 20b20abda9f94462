"""The result of an evaluation for any task: scores of both models, their comparison, and each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from edge_compressor.gate import (
    Alike,
    Own,
    Paired,
    PerplexityChange,
    drop_json,
    own_interval,
    own_of,
    rise,
    share_right,
)
from edge_runtime.datatypes import Array
from edge_statistics.interval import Interval
from edge_statistics.tango import tango_interval

MAX_CLASSES_SHOWN: Final = 64
"""The number of classes up to which the confusion matrix and the list of all classes are kept; more would fill the
report."""


@dataclass(frozen=True)
class Scores:
    """The scores of one model on labelled samples."""

    score: float
    """The score that the gate judges, in 0..1."""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """The figures by their key in the manifest; None for one that is not a number, such as the error of an answer that
    is not."""
    confusion: Array | None = None
    """The confusion matrix (classes, classes), rows the labels, columns the predictions; samples without a class are in
    no column. None without classes, and beyond MAX_CLASSES_SHOWN of them."""
    classes: int | None = None
    """The number of classes; None without classes."""

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        shown: dict[str, Any] = {}
        if self.confusion is not None:
            shown = {"confusion": self.confusion.tolist()}
        elif self.classes is not None:
            shown = {"classes": self.classes}
        figures = {key: None if value is None else round(value, 6) for key, value in self.figures.items()}
        return {"score": round(self.score, 6), **figures, **shown}


@dataclass(frozen=True)
class ClassChange:
    """The change of one class: the share of its samples that are found (recall), or its average precision."""

    number: int
    samples: int
    """The number of samples of the class."""
    source: float
    artifact: float
    interval: Interval
    """The 90 % interval of the drop of this class alone: for one class in twenty, the drop is above its upper end by
    chance."""

    @property
    def drop(self) -> float:
        """The part of the class's score that the artifact loses, below 0 if it gains."""
        return self.source - self.artifact

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Returns the form in which the report stores it, with the class's name."""
        return {
            "class": self.number,
            "name": names[self.number] if self.number < len(names) else str(self.number),
            "samples": self.samples,
            "source": round(self.source, 6),
            "artifact": round(self.artifact, 6),
            "dropPercent": round(self.drop * 100, 4),
            "lowerPercent": round(self.interval.lower * 100, 4),
            "upperPercent": round(self.interval.upper * 100, 4),
        }


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of an artifact. Without labels ``source``, ``artifact`` and ``answers`` are None. If the source is
    not comparable, ``source`` and ``answers`` are None, and ``own`` has the artifact's own score."""

    task: str
    samples: int
    agreement: float | None
    """The share of samples, in 0..1, that artifact and source answer alike; None if the source is not comparable."""
    agreement_kind: str
    """The meaning of alike: Argmax, Close, Labels, Tolerance, Detections, Cosine or Steps."""
    metric: str = "accuracy"
    """The name of the score."""
    source: Scores | None = None
    artifact: Scores | None = None
    answers: Paired | None = None
    own: Own | None = None
    perplexity: PerplexityChange | None = None
    """The change of the perplexity; None for a task without one, and if the source is not comparable."""
    alike: Alike | None = None
    """The answers that artifact and source give alike, where a limit can judge them."""
    per_class: str = "recall"
    """The score that ``classes`` compare: recall or average precision."""
    classes: tuple[ClassChange, ...] = ()
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Decisions that were made by looking at the data, such as a threshold."""
    doubt: str = ""
    """The reason why the source's own answers do not show that the labels are theirs, so that no drop means anything;
    empty if they do."""

    @property
    def worst_class(self) -> ClassChange | None:
        """The class that loses most; None if no classes were measured."""
        return max(self.classes, key=lambda one: one.drop, default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        own = self.own or own_of(self.answers)
        interval = None if own is None else own_interval(own)
        shown = sorted(self.classes, key=lambda one: -one.drop)[:MAX_CLASSES_SHOWN]
        worst = self.worst_class
        return {
            "task": self.task,
            "metric": self.metric,
            "samples": self.samples,
            "agreementPercent": None if self.agreement is None else round(self.agreement * 100, 4),
            "agreementKind": self.agreement_kind,
            "source": self.source.to_json() if self.source else None,
            "artifact": self.artifact.to_json() if self.artifact else None,
            "artifactInterval": interval and [round(interval.lower, 6), round(interval.upper, 6)],
            **({"perplexityIncrease": perplexity_json(self.perplexity)} if self.perplexity else {}),
            **({"agreement": _alike_json(self.alike)} if self.alike else {}),
            "accuracyDrop": drop_json(self.answers) if self.answers else None,
            "perClass": self.per_class,
            "classes": [one.to_json(self.class_names) for one in sorted(shown, key=lambda one: one.number)],
            "worstClass": worst.to_json(self.class_names) if worst else None,
            "notes": list(self.notes),
        }


def perplexity_json(change: PerplexityChange) -> dict[str, Any]:
    """Returns the rise of the perplexity with its interval, in percent, for the manifest."""
    return {
        "percent": round(change.increase * 100, 4),
        "lowerPercent": round(rise(change.interval.lower) * 100, 4),
        "upperPercent": round(rise(change.interval.upper) * 100, 4),
        "bitsPerToken": round(change.bits, 6),
        "confidencePercent": 90,
        "tokens": change.tokens,
        "texts": change.texts,
    }


def _alike_json(alike: Alike) -> dict[str, Any]:
    interval = own_interval(alike.own)
    return {
        "percent": round(share_right(alike.own) * 100, 4),
        "lowerPercent": round(interval.lower * 100, 4),
        "upperPercent": round(interval.upper * 100, 4),
        "confidencePercent": 90,
        "of": alike.what,
        "count": alike.counted,
    }


def recall_changes(of_class: Array, source_right: Array, artifact_right: Array, numbers: Array) -> list[ClassChange]:
    """Returns one change for each class with samples; the arguments are (samples, classes) of bool.

    The interval is Tango's over the samples of the class. ``numbers`` are the classes of the columns.
    """
    changes = []
    for column, number in enumerate(numbers):
        mine = of_class[:, column]
        if not (samples := int(mine.sum())):
            continue
        before, after = source_right[mine, column], artifact_right[mine, column]
        interval = tango_interval(int((before & ~after).sum()), int((after & ~before).sum()), samples)
        changes.append(ClassChange(int(number), samples, float(before.mean()), float(after.mean()), interval))
    return changes


def macro(values: Array, occurs: Array) -> float:
    """Returns the mean over the classes that occur; 0 if none does."""
    return float(values[occurs].mean()) if occurs.any() else 0.0


def ratio(part: Array, whole: Array) -> Array:
    """Returns the ratio; 0 / 0 counts as 0."""
    part = np.asarray(part, dtype=np.float64)
    quotient: Array = np.divide(part, whole, out=np.zeros_like(part), where=np.asarray(whole) > 0)
    return quotient
