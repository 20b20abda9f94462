"""The relative error of every output of an artifact against the source, on given data or on generated inputs.

``edge_runtime.relative_error`` has the measure. An artifact that cannot run, or answers NaN where the source answers a
number, is refused here, whatever the budget says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import onnx

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import generated_inputs, stateful
from edge_compressor.evaluation.evaluator import incomparable
from edge_compressor.models import normal_form, runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import nodes, subgraphs
from edge_compressor.progress import Progress
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array
from edge_runtime.relative_error import spread_of
from edgemodel import reasons
from edgemodel.artifact import ONNX_RUNTIME
from edgemodel.budget import DEFAULT_RELATIVE_ERROR_PERCENT
from edgemodel.errors import Stalled

MAX_SAMPLES: Final = 512
MAX_BYTES: Final = 256 << 20
"""The size of the answers that are held for comparison, in bytes; beyond it, fewer samples are compared."""
_RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_SORTING: Final = frozenset({"NonMaxSuppression", "NonZero", "TopK", "Unique"})
"""The operators that turn the smallest difference of two scores into another order or number of rows."""
_LOST: Final = 100.0
"""The error of a channel, in percent, from which it no longer reproduces the source's answers."""
_SHAPE_ONLY: Final = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class OutputError:
    """The error of one output of the artifact, in percent of its spread; see ``edge_runtime.relative_error``."""

    output: str
    percent: float | None
    """The root mean square over its worst group of channels; None if it was not measured."""
    channels: int = 1
    worst_channel: int | None = None
    worst_percent: float | None = None
    """The root mean square of the worst channel alone."""
    differing_percent: float | None = None
    """The share of values that differ, for whole numbers, texts and truth values."""
    unjudged: str = ""
    """The reason why the error does not mean that the artifact is worse; empty if it does."""

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        return {
            "output": self.output,
            "percent": _rounded(self.percent),
            "channels": self.channels,
            "worstChannel": self.worst_channel,
            "worstChannelPercent": _rounded(self.worst_percent),
            "differingPercent": _rounded(self.differing_percent),
            "notJudged": self.unjudged or None,
        }


@dataclass(frozen=True)
class RelativeErrors:
    """The relative error of each output of an artifact against its source, on one set of data."""

    what: str
    """The data: ``evaluation set``, ``calibration set`` or ``generated inputs``."""
    samples: int
    outputs: tuple[OutputError, ...]

    @property
    def generated(self) -> bool:
        """True if the inputs were generated, so that a large error is only a warning."""
        return self.what == generated_inputs.WHAT

    @property
    def worst(self) -> OutputError | None:
        """The output with the largest error among those that can be judged; None if there is none."""
        judged = [one for one in self.outputs if one.percent is not None and not one.unjudged]
        return max(judged, key=lambda one: one.percent or 0.0, default=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        return {"data": self.what, "samples": self.samples, "outputs": [one.to_json() for one in self.outputs]}


def measure_error(source: ModelFile, artifact: ModelFile, dataset: Dataset, progress: Progress) -> RelativeErrors:
    """Runs both on at most MAX_SAMPLES samples, spread evenly, and compares every output but the cache of a decoder.

    An artifact that is the source runs alone, on one sample. Raises Stalled as ``measuring.run``, Stalled(StepFailed)
    for an answer of the artifact that is NaN or infinite where that of the source is finite, and Stalled(SourceInvalid)
    for an output of the source that has no finite value on the user's data.
    """
    same, other = artifact.digest == source.digest, incomparable(source, artifact)
    progress.say(f"comparing the artifact's answers with the source's on the {dataset.what}")
    cache = set(dataset.decoder.present) if dataset.decoder is not None else set()
    places = [place for place, tensor in enumerate(artifact.outputs) if tensor.name not in cache]
    tensors = [artifact.outputs[place] for place in places]

    def answered(model: ModelFile, batches: int | None, what: str) -> tuple[list[list[Array]], int]:
        """Returns the answers to ``batches``, or to as many as are held, and the number of samples."""
        loaded = runtime.load(model, threads=usable_cores())
        answers: list[list[Array]] = []
        compared = held = 0
        for rows, feeds in islice(dataset.batches(positions), batches):
            outputs = stateful.answer(loaded, dataset, feeds, what)
            if dataset.decoder is not None:
                answers.append(
                    [outputs[place][0] for place in places]
                )  # what follows each place of the text is an item
            else:
                answers.append(_items([outputs[place] for place in places], len(rows), dataset))
            compared += len(rows) if dataset.decoder is None else len(answers[-1][0])
            held += 2 * sum(array.nbytes for array in answers[-1])
            if held > MAX_BYTES:
                break
        return answers, compared

    positions = dataset.spread(1 if same else MAX_SAMPLES)
    got, compared = answered(artifact, None, "artifact")
    expected = got  # one model after the other, so that one is in memory
    if not same and not other:
        expected, _ = answered(source, len(got), "source")
        for before, after in zip(expected, got, strict=True):
            for tensor, right, answer in zip(tensors, before, after, strict=True):
                _check_finite(tensor.name, right, answer, dataset)
    if not other and dataset.what != generated_inputs.WHAT:
        for tensor, one in zip(tensors, zip(*expected, strict=True), strict=True):
            _check_source(tensor.name, one, dataset)
    unjudged = dict.fromkeys(dataset.states.values(), "it is a state") | _unjudged(source)
    if other:
        unjudged = {tensor.name: other for tensor in tensors}
    columns = zip(tensors, zip(*expected, strict=True), zip(*got, strict=True), strict=True)
    outputs = [_compared(tensor.name, one, two, unjudged.get(tensor.name, "")) for tensor, one, two in columns]
    return RelativeErrors(dataset.what, compared, tuple(outputs))


def far_off(errors: RelativeErrors, worst: OutputError) -> str | None:
    """Returns a warning if the worst output, or one of its channels, is as far off as a ruined artifact's."""
    data = f"on the {errors.what}, n = {errors.samples}"
    if (worst.percent or 0.0) > DEFAULT_RELATIVE_ERROR_PERCENT:
        return (
            f"output {worst.output!r} of the artifact is off by {worst.percent:.0f} % of its spread ({data}); healthy "
            "artifacts are off by 1 to 12 %"
        )
    lost = next((one for one in errors.outputs if not one.unjudged and (one.worst_percent or 0.0) > _LOST), None)
    if lost is None:
        return None
    return (
        f"channel {lost.worst_channel} of output {lost.output!r} is off by {lost.worst_percent:.0f} % of its spread, "
        f"as if it were lost ({data})"
    )


def _items(answers: list[Array], rows: int, dataset: Dataset) -> list[Array]:
    """Returns the answers with items on axis 0; an output without such an axis is one item."""
    size = max(rows, dataset.batch)
    return [answer[:rows] if answer.ndim and len(answer) == size else answer[None] for answer in answers]


def _check_source(output: str, answers: Sequence[Array], dataset: Dataset) -> None:
    """Refuses a source without a finite value in ``answers``, all that it gave for an output."""
    if answers[0].dtype.kind != "f" or not any(one.size for one in answers):
        return
    if not any(np.isfinite(one).any() for one in answers):
        message = (
            f"output {output!r} of the source is NaN or infinite for every sample of the {dataset.what} that was run: "
            "repair the weights of the source, or the samples"
        )
        raise Stalled(reasons.SOURCE_INVALID, message)


def _check_finite(output: str, right: Array, answer: Array, dataset: Dataset) -> None:
    """Refuses answers that are not finite where those of the source are."""
    if answer.dtype.kind != "f" or (bad := ~np.isfinite(answer)).sum() == 0:
        return
    if right.shape == answer.shape and bool((bad & np.isfinite(right)).any()):
        message = (
            f"output {output!r} of the artifact is NaN or infinite on the {dataset.what}, where the source answers "
            "numbers: leave a step out, or exclude the nodes behind that output (excludeNodes)"
        )
        raise Stalled(reasons.STEP_FAILED, message)


def _compared(name: str, expected: Sequence[Array], got: Sequence[Array], unjudged: str) -> OutputError:
    pairs = [(one, two) for one, two in zip(expected, got, strict=True) if one.shape == two.shape and one.size]
    if any(one.shape != two.shape for one, two in zip(expected, got, strict=True)):
        unjudged = unjudged or "its shape differs from the source's"
    if not pairs:
        return OutputError(name, None, unjudged=unjudged or "it is empty")
    if pairs[0][0].dtype.kind != "f":
        values = sum(one.size for one, _ in pairs)
        differing = 100 * sum(int((one != two).sum()) for one, two in pairs) / values
        return OutputError(name, None, differing_percent=differing, unjudged=unjudged or "it holds no floats")
    spread = spread_of([one for one, _ in pairs])
    sums = [spread.squares(one, two) for one, two in pairs]
    squares = np.sum([total for total, _ in sums], axis=0) / sum(count for _, count in sums)
    worst = int(squares.argmax())
    return OutputError(
        name,
        100 * spread.by_group(squares),
        channels=len(squares),
        worst_channel=worst,
        worst_percent=float(100 * np.sqrt(squares[worst])),
        unjudged=unjudged,
    )


def _unjudged(model: ModelFile) -> dict[str, str]:
    """Returns by output why its values may differ from the source's: they are random, or rows in the order of
    scores."""
    if model.runtime != ONNX_RUNTIME or model.transforms:
        return {}
    graph = normal_form.load_shapes(model.path).graph
    stored = {tensor.name for tensor in graph.initializer}
    fed = {tensor.name for tensor in graph.input} - stored
    makers: dict[str, tuple[onnx.NodeProto, set[str]]] = {}
    for node in nodes(graph):
        read, inner = set(node.input), list(subgraphs(node))
        for body in inner:
            read |= {name for one in nodes(body) for name in one.input} | {output.name for output in body.output}
        makers |= dict.fromkeys(node.output, (node, read))
    found = {}
    for output in graph.output:
        behind = _behind(output.name, makers)
        if operator := next((node.op_type for node in behind if node.op_type in _RANDOM), None):
            found[output.name] = f"{operator} makes it random"
        for node in behind:
            if node.op_type in _SORTING and any(
                not _inputs_of(name, makers).isdisjoint(fed) for name in node.input if name
            ):
                found[output.name] = f"{node.op_type} puts its rows in order"
    return found


def _behind(name: str, makers: dict[str, tuple[onnx.NodeProto, set[str]]]) -> list[onnx.NodeProto]:
    """Returns the nodes that contribute to the values of a tensor."""
    waiting, seen, found = [name], {name}, []
    while waiting:
        if (made := makers.get(waiting.pop())) is None:
            continue
        node, read = made
        if node.op_type in _SHAPE_ONLY:
            continue
        found.append(node)
        waiting += read - seen
        seen |= read
    return found


def _inputs_of(name: str, makers: dict[str, tuple[onnx.NodeProto, set[str]]]) -> set[str]:
    return {name} | {read for node in _behind(name, makers) for read in node.input}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
