"""Stateful models, which get some of their outputs as inputs at the next step.

Their samples are sequences (``Dataset.states``). Each model runs over a sequence with its own state, so that the effect
of compression on the state is measured too. For calibration, timing and tests, single steps are used, each with the
state that a model had there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.measuring import run
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_runtime.backend import LoadedModel
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.errors import Stalled


def check(model: ModelFile, states: Mapping[str, str]) -> None:
    """Raises Stalled(InvalidSpec) if ``states`` (input -> output) are not tensors of ``model`` of the same kind."""
    inputs, outputs = ({tensor.name: tensor for tensor in some} for some in (model.inputs, model.outputs))
    for taken, given in states.items():
        for name, known, kind in ((taken, inputs, "input"), (given, outputs, "output")):
            if name not in known:
                listed = ", ".join(sorted(known))
                message = f"source.statefulInputs: the model has no {kind} {name!r}; it has {listed}"
                raise Stalled(reasons.INVALID_SPEC, message)
        if not _alike(inputs[taken], outputs[given]):
            one, other = (f"{tensor.datatype} {list(tensor.shape)}" for tensor in (inputs[taken], outputs[given]))
            kinds = f"input {taken!r} is {one} and output {given!r} {other}"
            message = f"source.statefulInputs: {kinds}: they cannot be one state"
            raise Stalled(reasons.INVALID_SPEC, message)


def _alike(taken: Tensor, given: Tensor) -> bool:
    """Returns whether the shapes match; a dimension that one of them leaves open may be fixed by the other."""
    same = len(taken.shape) == len(given.shape) and all(
        one == other or -1 in (one, other) for one, other in zip(taken.shape, given.shape, strict=True)
    )
    return same and taken.datatype == given.datatype


def answer(model: LoadedModel, dataset: Dataset, feeds: dict[str, Array], what: str) -> list[Array]:
    """Returns all outputs for ``feeds`` of ``dataset`` as numbers, with a first axis of items.

    Those of sequences have an axis of steps after it.

    If a sequence has one label for all its steps, only the last step of each is returned. ``what`` is source or
    artifact. Raises Stalled as ``run``.
    """
    if not dataset.states:
        return dataset.by_item(runtime.numbers(model, run(model, feeds, what)))
    walk = _walk(model, dataset, feeds, what)
    answers = [dataset.by_item(runtime.numbers(model, outputs)) for _, outputs in walk]
    if dataset.label is not None and dataset.label.ndim == 1:
        return answers[-1]
    return [np.stack(output, axis=1) for output in zip(*answers, strict=True)]


def steps_of(dataset: Dataset, model: ModelFile, count: int, what: str) -> Dataset:
    """Returns ``count`` steps of its sequences, or all if there are fewer, evenly spread, as samples without labels.

    A ``dataset`` without a state is returned unchanged. Raises Stalled as ``answer``.
    """
    if not dataset.states:
        return dataset
    loaded = runtime.load(model)
    whole = dataset.size * dataset.steps
    wanted = np.arange(min(count, whole)) * whole // min(count, whole)
    found: dict[str, list[Array]] = {name: [] for name in dataset.inputs}
    for sequence in np.unique(wanted // dataset.steps):
        places = set((wanted[wanted // dataset.steps == sequence] % dataset.steps).tolist())
        feeds = dataset.take(np.repeat(sequence, max(1, dataset.batch)))
        for step, (feed, _) in enumerate(_walk(loaded, dataset, feeds, what)):
            if step in places:
                for name, array in feed.items():
                    found[name].append(array if dataset.whole else array[0])
            if step == max(places):
                break
    inputs = {name: np.stack(arrays) for name, arrays in found.items()}
    return replace(dataset, inputs=inputs, label=None, size=len(wanted), states={})


def _walk(
    model: LoadedModel, dataset: Dataset, feeds: Mapping[str, Array], what: str
) -> Iterator[tuple[dict[str, Array], list[Array]]]:
    """Yields the (inputs, outputs) of each step."""
    names = list(model.signature.outputs)
    state = {name: feeds[name] for name in dataset.states}
    others = {name: array if dataset.whole else array.swapaxes(0, 1) for name, array in feeds.items()}
    for step in range(dataset.steps):
        now = {name: np.asarray(array[step], order="C") for name, array in others.items() if name not in state}
        outputs = run(model, now | state, what)
        yield now | state, outputs
        given = dict(zip(names, outputs, strict=True))
        state = {taken: given[name] for taken, name in dataset.states.items()}
