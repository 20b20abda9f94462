"""The signature of a model as its callers know it, and the changes of it that would break them.

Callers name inputs, send tensors of one datatype and shape, read outputs by name or by position, look up class names by
their numbers, and feed state back from one request to the next. Differences that they would not notice are not changes:
a larger range of sizes, one more output, one more class.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgemodel.artifact import Tensor
from edgemodel.digest import canonical_json
from edgemodel.names import short_hash
from edgemodel.plain import to_api

HASH_CHARACTERS: Final = 10
_OPEN: Final = -1


@dataclass(frozen=True)
class CallerSignature:
    """The tensors in the model's order, the names of its classes, and the state that callers feed back."""

    hash: str
    """Identifies the signature, ten characters; ``spec.rollout.acceptSignature`` names it."""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    class_names: tuple[str, ...] = ()
    """The names of classes by number; empty if they have none."""
    state: dict[str, str] = field(default_factory=dict)
    """Maps each state input to the output that feeds it at the next request."""
    left_out: tuple[str, ...] = ()
    """The fields that the Job's report had no room for: ``class_names``, or ``inputs`` and all the others."""

    @classmethod
    def of(
        cls,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        class_names: Sequence[str] = (),
        state: Mapping[str, str] | None = None,
    ) -> "CallerSignature":
        """Returns the signature of a model with these inputs and outputs."""
        whole = cls("", tuple(inputs), tuple(outputs), tuple(class_names), dict(state or {}))
        return replace(whole, hash=short_hash(canonical_json(to_api(whole)).decode(), HASH_CHARACTERS))

    def without_class_names(self) -> "CallerSignature":
        """Returns the signature for reports that have no room for a long list of names."""
        return replace(self, class_names=(), left_out=("class_names",)) if self.class_names else self

    def hash_alone(self) -> "CallerSignature":
        """Returns the signature without inputs, outputs and class names, for a report without room for them."""
        return CallerSignature(self.hash, left_out=("inputs", "outputs", "class_names", "state"))


def breaking_changes(old: CallerSignature, new: CallerSignature) -> tuple[str, ...]:
    """Returns the changes that break callers of ``old``, one clause each; empty if there are none."""
    if old.hash == new.hash:
        return ()
    left_out = {*old.left_out, *new.left_out}
    if "inputs" in left_out:
        return ("the signature is another one, too long to be compared here: manifest.json in both images holds it",)
    found = [
        *_changed_inputs(old.inputs, new.inputs),
        *_changed_outputs(old.outputs, new.outputs),
        *_changed_state(old, new),
    ]
    if "class_names" not in left_out:
        found += _changed_class_names(old.class_names, new.class_names)
    elif not found and _but_names(old) == _but_names(new):
        found.append("the names of the classes are others: class_names of the evaluation set holds them")
    return tuple(found)


def _but_names(signature: CallerSignature) -> Any:
    return signature.inputs, signature.outputs, signature.state


def _changed_inputs(old: Sequence[Tensor], new: Sequence[Tensor]) -> Iterator[str]:
    yield from _changed_tensors("input", old, new, _input_axis)
    known = {*_by_name(old), *_renamed(old, new).values()}
    for name, tensor in _by_name(new).items():
        if name not in known:
            yield f"input {name!r} ({_described(tensor)}) is new, and callers do not send it"


def _changed_outputs(old: Sequence[Tensor], new: Sequence[Tensor]) -> Iterator[str]:
    yield from _changed_tensors("output", old, new, _output_axis)
    renamed, after = _renamed(old, new), _by_name(new)
    order = [renamed.get(tensor.name, tensor.name) for tensor in old]
    if set(order) <= after.keys() and list(after)[: len(order)] != order:
        yield f"the outputs come in another order: {', '.join(after)} instead of {', '.join(_by_name(old))}"


def _changed_tensors(kind: str, old: Sequence[Tensor], new: Sequence[Tensor], axis: Any) -> Iterator[str]:
    """Yields what became of each tensor of ``old``: another name, none, or another datatype or shape."""
    renamed, after = _renamed(old, new), _by_name(new)
    for name, tensor in _by_name(old).items():
        if name in renamed:
            yield f"{kind} {name!r} is called {renamed[name]!r} now"
        elif name not in after:
            yield f"{kind} {name!r} is gone"
        else:
            yield from _changed_tensor(f"{kind} {name!r}", tensor, after[name], axis)


def _changed_state(old: CallerSignature, new: CallerSignature) -> Iterator[str]:
    kept = _by_name(new.inputs)
    for taken in sorted(old.state.keys() | new.state.keys()):
        before, after = old.state.get(taken), new.state.get(taken)
        if before == after or taken not in kept:
            continue
        if before is None:
            yield f"input {taken!r} is a state now, which callers have to feed back from output {after!r}"
        elif after is None:
            yield f"input {taken!r} was a state, fed back from output {before!r}, and is none now"
        else:
            yield f"input {taken!r} is fed back from output {after!r} now, and was from {before!r}"


def _changed_class_names(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Yields the changes; a signature without names is not compared."""
    if not old or not new or tuple(new[: len(old)]) == tuple(old):
        return
    if sorted(old) == sorted(new):
        yield f"the classes come in another order: {_listed(new)} instead of {_listed(old)}"
        return
    for number, name in enumerate(old):
        if number >= len(new):
            yield f"class {number}, {name!r}, is gone"
            return
        if new[number] != name:
            yield f"class {number} is {new[number]!r} now, and was {name!r}"
            return


def _changed_tensor(what: str, old: Tensor, new: Tensor, axis: Any) -> Iterator[str]:
    if old.datatype != new.datatype:
        yield f"{what} is {new.datatype} now, and was {old.datatype}"
    if len(old.shape) != len(new.shape):
        yield f"{what} has shape {_shape(new)} now, and had {_shape(old)}"
        return
    for number, (before, after) in enumerate(zip(old.shape, new.shape, strict=True)):
        if before != after and not axis(number, before, after):
            yield f"{what} has shape {_shape(new)} now, and had {_shape(old)}"
            return


def _input_axis(number: int, before: int, after: int) -> bool:
    """Returns whether the change is harmless: an input may accept more sizes than before."""
    return after == _OPEN


def _output_axis(number: int, before: int, after: int) -> bool:
    """Returns whether the change is harmless: a size may be known better, or the batch may be larger than requested."""
    return before == _OPEN or (number == 0 and after == _OPEN)


def _renamed(old: Sequence[Tensor], new: Sequence[Tensor]) -> dict[str, str]:
    """Returns old name -> new name of tensors that are otherwise equal and in the same place."""
    before, after = _by_name(old), _by_name(new)
    return {
        one.name: other.name
        for one, other in zip(old, new, strict=False)
        if one.name not in after and other.name not in before and replace(one, name=other.name) == other
    }


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in tensors}


def _described(tensor: Tensor) -> str:
    return f"{tensor.datatype} {_shape(tensor)}"


def _shape(tensor: Tensor) -> str:
    """Returns the shape as ``[N, 3]``, with N for an open first axis, and ``?`` for other open ones."""
    open_sizes = ("N" if number == 0 else "?" for number in range(len(tensor.shape)))
    sizes = (word if size == _OPEN else str(size) for word, size in zip(open_sizes, tensor.shape, strict=True))
    return f"[{', '.join(sizes)}]"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown}, …"
