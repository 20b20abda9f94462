"""The golden self-test: whether the model answers on this node as it did in the compression Job.

int8 results differ between instruction sets, so only a run on the node can tell.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

import numpy as np

from edge_runtime.agreement import close, spread_of_floats
from edge_runtime.classes import same_class
from edge_runtime.datatypes import DATATYPES, Array, as_numbers
from edge_runtime.decoder import Decoder, decoder_of
from edge_runtime.golden_tokens import EXPECTED, TOKENS, UNJUDGED, count_same
from edge_runtime.signature import Signature
from edgemodel.artifact import TOKENS_AGREEMENT, Golden, Tensor
from edgemodel.error_words import in_words
from edgemodel.user_files import UnreadableFile, check_file

Run = Callable[[Mapping[str, Array], Sequence[str]], list[Array]]


class GoldenInvalid(Exception):
    """The golden set does not match the manifest or the model, so it decides nothing."""


@dataclass(frozen=True)
class GoldenResult:
    """The number of golden items, at least 1, and of those on which the model agrees."""

    agree: int
    items: int
    min_percent: Decimal
    """The share that has to agree, in 0..100."""

    @property
    def passed(self) -> bool:
        """True if the share that agrees is at least ``min_percent``, compared exactly."""
        return Fraction(self.agree * 100, self.items) >= Fraction(self.min_percent)

    def __str__(self) -> str:
        percent = self.agree * 100 / self.items
        return f"golden set agrees on {percent:.6g} %, limit {self.min_percent} % (n = {self.items})"


def run_golden(run: Run, signature: Signature, golden: Golden, path: Path) -> GoldenResult:
    """Runs every item through ``run``, alone if the model's first dimension allows it. Raises GoldenInvalid.

    A first dimension that the model fixes at n takes n items at a time.
    """
    if golden.agreement == TOKENS_AGREEMENT:
        return _run_texts(run, signature, golden, path)
    inputs, outputs = _load(path, signature, golden.items)
    agrees = _agreement(golden, signature, outputs)
    datatypes = [signature.outputs[name].datatype for name in outputs]
    min_percent = _percent(golden.min_percent)
    step = _items_a_run(signature.inputs.values(), inputs, golden.items)
    agree = 0
    for start, feeds in _feeds(signature, inputs, golden.items, step):
        answers = run(feeds, list(outputs))
        for offset in range(step):
            recorded = [array[start + offset] for array in outputs.values()]
            agree += agrees(
                _numbers(datatypes, recorded), _numbers(datatypes, [_item(answer, offset, step) for answer in answers])
            )
    return GoldenResult(agree, golden.items, min_percent)


def _run_texts(run: Run, signature: Signature, golden: Golden, path: Path) -> GoldenResult:
    decoder, tokens, expected = _load_texts(signature, golden, path)
    return GoldenResult(count_same(run, decoder, tokens, expected), golden.items, _percent(golden.min_percent))


def _load_texts(signature: Signature, golden: Golden, path: Path) -> tuple[Decoder, Array, Array]:
    """Returns the decoder, and the texts with the tokens that are expected. Raises GoldenInvalid."""
    decoder = decoder_of(list(signature.inputs.values()), list(signature.outputs.values()))
    if decoder is None:
        raise GoldenInvalid("the golden set holds texts, and the model is no decoder")
    arrays = _arrays(path)
    if arrays.keys() != {TOKENS, EXPECTED}:
        raise GoldenInvalid(f"the golden set of a decoder has {TOKENS} and {EXPECTED}, not {', '.join(sorted(arrays))}")
    tokens, expected = arrays[TOKENS], arrays[EXPECTED]
    if tokens.ndim != 2 or tokens.shape != expected.shape or {tokens.dtype.kind, expected.dtype.kind} != {"i"}:
        raise GoldenInvalid("the golden set of a decoder wants whole numbers, [texts, tokens], twice the same shape")
    judged = int((expected != UNJUDGED).sum())
    if judged != golden.items or not judged:
        raise GoldenInvalid(f"the manifest says that {golden.items} places are judged, and the file has {judged}")
    if 0 <= decoder.vocabulary <= int(tokens.max()) or int(tokens.min()) < UNJUDGED or (tokens[:, 0] < 0).any():
        raise GoldenInvalid(f"the golden set has tokens that are not among the model's {decoder.vocabulary}")
    return decoder, tokens, expected


def golden_feeds(signature: Signature, golden: Golden, path: Path) -> list[dict[str, Array]]:
    """Returns the inputs of each run of ``run_golden``; for texts, of the first run of each. Raises GoldenInvalid."""
    if golden.agreement == TOKENS_AGREEMENT:
        decoder, tokens, _ = _load_texts(signature, golden, path)
        return [decoder.feed(text[text != UNJUDGED][None, :1], decoder.cache(0)) for text in tokens]
    inputs, _ = _load(path, signature, golden.items)
    step = _items_a_run(signature.inputs.values(), inputs, golden.items)
    return [feeds for _, feeds in _feeds(signature, inputs, golden.items, step)]


def _feeds(
    signature: Signature, inputs: Mapping[str, Array], items: int, step: int
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yields (number of its first item, inputs) of each run."""
    for start in range(0, items, step):
        yield (
            start,
            {name: _feed(array[start : start + step], signature.inputs[name]) for name, array in inputs.items()},
        )


def _load(path: Path, signature: Signature, items: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Returns the recorded inputs and outputs by name, in the model's order; outputs may be recorded in part."""
    if items < 1:
        raise GoldenInvalid(f"the manifest says that the golden set has {items} items, want at least 1")
    arrays = _arrays(path)
    inputs = {name: arrays[f"input.{name}"] for name in signature.inputs if f"input.{name}" in arrays}
    outputs = {name: arrays[f"output.{name}"] for name in signature.outputs if f"output.{name}" in arrays}
    if missing := signature.inputs.keys() - inputs.keys():
        raise GoldenInvalid(f"{path.name} lacks the input {min(missing)!r}")
    if not outputs:
        raise GoldenInvalid(f"{path.name} has no output of the model")
    for name, array in arrays.items():
        if array.shape[:1] != (items,):
            raise GoldenInvalid(f"{path.name}: {name} has shape {list(array.shape)}, want {items} items first")
    return inputs, outputs


def _arrays(path: Path) -> dict[str, Array]:
    try:
        check_file(path)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except UnreadableFile as error:
        raise GoldenInvalid(str(error)) from error
    except Exception as error:  # numpy raises anything for an archive that is damaged
        raise GoldenInvalid(f"{path.name} cannot be read: {in_words(error)}") from error


def _percent(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= 100:
        raise GoldenInvalid(f"minPercent is {text!r}, want a decimal from 0 to 100")
    return value


def _items_a_run(declared: Iterable[Tensor], inputs: Mapping[str, Array], items: int) -> int:
    sizes = {tensor.shape[0] for tensor in declared if inputs[tensor.name].ndim == len(tensor.shape) > 0} - {-1}
    if len(sizes) > 1:
        raise GoldenInvalid(f"the inputs' first dimensions differ: {sorted(sizes)}")
    step = sizes.pop() if sizes else 1
    if step < 1 or items % step:
        raise GoldenInvalid(f"{items} golden items do not fill runs of {step}")
    return step


def _feed(items: Array, declared: Tensor) -> Array:
    """Returns ``items`` as the model takes them: if its input has no dimension for items, the only item is unpacked."""
    array = items if items.ndim == len(declared.shape) else np.asarray(items[0])
    if declared.datatype == "BYTES":
        array = array.astype(object)
    return np.ascontiguousarray(array) if array.ndim else array


def _item(answer: Array, offset: int, step: int) -> Array:
    has_items = answer.ndim > 0 and answer.shape[0] == step
    return np.asarray(answer[offset] if has_items else answer)


def _numbers(datatypes: Sequence[str], arrays: Sequence[Array]) -> list[Array]:
    return [as_numbers(datatype, np.asarray(array)) for datatype, array in zip(datatypes, arrays, strict=True)]


def _agreement(
    golden: Golden, signature: Signature, outputs: Mapping[str, Array]
) -> Callable[[Sequence[Array], Sequence[Array]], bool]:
    if golden.agreement == "Close":
        datatypes = [signature.outputs[name].datatype for name in outputs]
        spreads = [spread_of_floats([array]) for array in _numbers(datatypes, list(outputs.values()))]
        return lambda recorded, answer: all(
            close(one, other, spread, golden.tolerance)
            for one, other, spread in zip(recorded, answer, spreads, strict=True)
        )
    if golden.agreement != "Argmax":
        raise GoldenInvalid(f"agreement is {golden.agreement!r}, want Argmax or Close")
    name, first = next(iter(outputs.items()))
    if first[0].size < 2 and DATATYPES[signature.outputs[name].datatype].is_float:
        raise GoldenInvalid(f"agreement is Argmax, but the output {name!r} has one value an item, which tells no class")
    return lambda recorded, answer: same_class(recorded[0], answer[0])
