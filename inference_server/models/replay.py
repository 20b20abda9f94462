"""Shadow replay: a candidate answers the latest requests too, and the agreement is counted.

The latest requests stay in memory, in a bounded ring, and only if that is enabled. A candidate fetches them from the
server that it will replace, on its own node; only counts leave the node.
"""

import io
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import getsizeof
from threading import Lock
from time import monotonic
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import numpy as np

from edge_runtime.agreement import CLOSE_TOLERANCE, close, spread_of_floats
from edge_runtime.classes import has_classes, same_class, same_largest
from edge_runtime.datatypes import DATATYPES, Array, as_numbers
from edge_runtime.relative_error import Spread
from edge_runtime.signature import Signature
from edgemodel.artifact import Golden, Tensor
from edgemodel.error_words import in_words
from inference_server.errors import InvalidRequest
from inference_server.models.selftest import Run
from inference_server.protocol.infer import Inference
from inference_server.protocol.tensors import check_shape, from_bytes, to_bytes

MAX_BYTES = 16_777_216
"""The limit of all remembered tensors together, in bytes; beyond it, fewer requests are remembered. A request with more
than a quarter of it is not remembered."""
MAX_SECONDS = 10.0
_LENGTH_BYTES = 8
_FETCH_SECONDS = 2.0
"""The timeout of a connection to the earlier server, which does not exist for the first server on a node."""


class _Head(msgspec.Struct, array_like=True):
    name: str
    datatype: str
    shape: list[int]
    size: int


_decode_head = msgspec.json.Decoder(list[tuple[list[_Head], list[_Head]]]).decode


@dataclass(frozen=True)
class Record:
    """One answered request."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    @property
    def size_bytes(self) -> int:
        """The size of its tensors in memory, in bytes."""
        return sum(map(_size, (*self.inputs.values(), *self.outputs.values())))


class Ring:
    """The last ``capacity`` requests, within MAX_BYTES. It is safe to call from several threads."""

    def __init__(self, capacity: int) -> None:
        """Takes the ``capacity``; 0: nothing is remembered."""
        self.capacity = capacity
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._lock = Lock()

    def note(self, inference: Inference, arrays: Sequence[Array]) -> None:
        """Remembers the request, unless it gives an optional input, which another model may lack."""
        if inference.overrides:
            return
        outputs = dict(zip(inference.wanted.names, arrays, strict=True))
        size = Record(inference.feeds, outputs).size_bytes
        if not self.capacity or size > MAX_BYTES // 4:
            return
        record = Record(*({name: array.copy() for name, array in side.items()} for side in (inference.feeds, outputs)))
        with self._lock:
            self._records.append(record)
            self._bytes += size
            while len(self._records) > self.capacity or self._bytes > MAX_BYTES:
                self._bytes -= self._records.popleft().size_bytes

    def records(self) -> list[Record]:
        """Returns the requests, oldest first."""
        with self._lock:
            return list(self._records)


@dataclass(frozen=True)
class ReplayResult:
    """The numbers of items of replayed requests."""

    agree: int
    disagree: int

    def __str__(self) -> str:
        return f"agrees on {self.agree} of {self.agree + self.disagree} recent items"


def replay(
    run: Run, signature: Signature, records: Sequence[Record], golden: Golden | None, max_seconds: float = MAX_SECONDS
) -> ReplayResult:
    """Runs the requests on ``run``, the candidate with ``signature``, and counts the agreement.

    ``golden`` has the rule; without one, classes must be the same if the model's first output has any, and otherwise
    values close. A request that the candidate refuses disagrees; one that did not ask for the first output is left out
    if classes count. The latest come first, and after ``max_seconds`` no more.
    """
    first = next(iter(signature.outputs))
    by_class = golden.agreement == "Argmax" if golden is not None else has_classes(signature.outputs[first])
    tolerance = CLOSE_TOLERANCE if golden is None else golden.tolerance
    spreads = {} if by_class else _spreads(records, signature)
    agree = items = 0
    deadline = monotonic() + max_seconds
    for record in reversed(records):
        if monotonic() > deadline:
            break
        names = [first] if by_class else list(record.outputs)
        if not record.outputs.keys() >= set(names):
            continue
        expected = [record.outputs[name] for name in names]
        count = _items(record)
        items += count
        try:
            answers = run(record.inputs, names)
        except Exception:  # whatever the runtime raises: this candidate cannot answer it
            answers = []
        if [answer.shape for answer in answers] == [recorded.shape for recorded in expected]:
            recorded_values, values = (_comparable(arrays, names, signature) for arrays in (expected, answers))
            agree += _agreeing(
                recorded_values, values, count, [spreads.get(name) for name in names], by_class, tolerance
            )
    return ReplayResult(agree, items - agree)


def _comparable(arrays: Sequence[Array], names: Sequence[str], signature: Signature) -> list[Array]:
    return [as_numbers(signature.outputs[name].datatype, array) for name, array in zip(names, arrays, strict=True)]


def _items(record: Record) -> int:
    """Returns the first dimension that all its tensors share; otherwise the request is one item."""
    tensors = (*record.inputs.values(), *record.outputs.values())
    sizes = {array.shape[0] if array.ndim else None for array in tensors}
    size = sizes.pop()
    return 1 if sizes or size is None else size


def _spreads(records: Sequence[Record], signature: Signature) -> dict[str, Spread | None]:
    """Returns the spread of each output that the candidate has, too, over all that was answered."""
    answers: dict[str, list[Array]] = {}
    for record in records:
        names, items = [name for name in record.outputs if name in signature.outputs], _items(record)
        if not items:
            continue
        recorded = [record.outputs[name] for name in names]
        for name, array in zip(names, _comparable(recorded, names, signature), strict=True):
            answers.setdefault(name, []).append(np.stack([_row(array, item, items) for item in range(items)]))
    return {name: spread_of_floats(arrays) for name, arrays in answers.items()}


def _agreeing(
    expected: Sequence[Array],
    answers: Sequence[Array],
    items: int,
    spreads: Sequence[Spread | None],
    by_class: bool,
    tolerance: float,
) -> int:
    agree = 0
    for item in range(items):
        pairs = [(_row(a, item, items), _row(b, item, items)) for a, b in zip(expected, answers, strict=True)]
        agree += (
            _same(*pairs[0])
            if by_class
            else all(close(*pair, spread, tolerance) for pair, spread in zip(pairs, spreads, strict=True))
        )
    return agree


def _same(recorded: Array, answer: Array) -> bool:
    if recorded.ndim <= 1 or recorded.size == 1 or recorded.dtype.kind == "O":
        return same_class(recorded, answer)
    # If an item has several classes, as in a request without a common first dimension, all have to be the same.
    return bool(same_largest(recorded[None], answer[None])[0])


def _row(array: Array, item: int, items: int) -> Array:
    return np.asarray(array[item]) if items > 1 or (array.ndim and array.shape[0] == 1) else array


def encode(records: Sequence[Record], signature: Signature) -> bytes:
    """Returns the requests as bytes; ``signature`` is that of the model that answered them."""
    head: list[Any] = []
    blobs: list[bytes] = []
    for record in records:
        sides = ((record.inputs, signature.inputs), (record.outputs, signature.outputs))
        head.append([_encoded(arrays, declared, blobs) for arrays, declared in sides])
    text = msgspec.json.encode(head)
    return b"".join((len(text).to_bytes(_LENGTH_BYTES, "big"), text, *blobs))


def _encoded(arrays: Mapping[str, Array], declared: Mapping[str, Tensor], blobs: list[bytes]) -> list[_Head]:
    found = []
    for name, array in arrays.items():
        datatype = declared[name].datatype
        blobs.append(to_bytes(DATATYPES[datatype], array))
        found.append(_Head(name, datatype, list(array.shape), len(blobs[-1])))
    return found


def decode(data: bytes) -> list[Record]:
    """Returns the requests. Raises ValueError."""
    try:
        edge = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
        head = _decode_head(data[_LENGTH_BYTES:edge])
        blobs = io.BytesIO(data[edge:])
        return [Record(*({one.name: _array(one, blobs) for one in side} for side in sides)) for sides in head]
    except (msgspec.DecodeError, InvalidRequest, KeyError, TypeError) as error:
        raise ValueError(f"what the other server remembers cannot be read: {in_words(error)}") from error


def fetch(url: str, token: str) -> list[Record]:
    """Returns the latest requests of another server; ``url`` is its ``…/replay``. Raises OSError, ValueError."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - the operator's http URL
    with urlopen(request, timeout=_FETCH_SECONDS) as response:  # noqa: S310
        return decode(response.read(2 * MAX_BYTES))


def _array(head: _Head, blobs: io.BytesIO) -> Array:
    check_shape(head.name, head.shape, head.shape)
    return from_bytes(head.name, DATATYPES[head.datatype], head.shape, memoryview(blobs.read(head.size)))


def _size(array: Array) -> int:
    """Returns the size in memory in bytes, which for texts includes their objects."""
    texts = sum(map(getsizeof, array.ravel().tolist())) if array.dtype.kind == "O" else 0
    return array.nbytes + texts
