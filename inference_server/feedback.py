"""What was predicted, until its label arrives: feedback tells right from wrong, by the id of the request.

Only classes are kept, no inputs: nothing that a camera saw stays here. They are kept in this process, so a label counts
for the revision that made the prediction or not at all.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import msgspec
import numpy as np

from inference_server.errors import InvalidRequest, NotFound
from inference_server.tensors import Array

MOST_REQUESTS = 4096
MOST_ITEMS = 1024
"""Of one request; more are not remembered."""

Label = int | str


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a feedback request: the ``id`` of an earlier one, and the right class of each of its items."""

    id: str
    labels: list[Label]


_decode = msgspec.json.Decoder(Feedback).decode


def decode(body: bytes) -> Feedback:
    """Raises InvalidRequest."""
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f'feedback is {{"id": "…", "labels": [3]}}, an id and a class an item: {error}') from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the feedback is not JSON: {error}") from error


class Predictions:
    """The classes of the last MOST_REQUESTS requests that had an id. Safe to call from several threads."""

    def __init__(self) -> None:
        self._classes: dict[str, list[Label]] = {}
        self._lock = Lock()

    def remember(self, request: str, output: Array) -> None:
        """``output`` is the model's first, as numbers that compare (``tensors.numbers``): its first axis are the items.

        A later request of the same id replaces.
        """
        found = classes(output)
        if found is None or len(found) > MOST_ITEMS:
            return
        with self._lock:
            self._classes.pop(request, None)
            self._classes[request] = found
            if len(self._classes) > MOST_REQUESTS:
                del self._classes[next(iter(self._classes))]

    def judge(self, feedback: Feedback) -> tuple[int, int]:
        """How many items were (right, wrong); the prediction is forgotten. Raises NotFound, InvalidRequest."""
        with self._lock:
            found = self._classes.get(feedback.id)
            if found is None:
                raise NotFound(
                    f"no prediction of a request with id {feedback.id!r} is remembered: the last {MOST_REQUESTS} are,"
                    " each until its feedback, while their revision serves; the first output has to tell a class"
                )
            if len(found) != len(feedback.labels):
                raise InvalidRequest(
                    f"request {feedback.id!r} had {len(found)} items, the feedback has {len(feedback.labels)} labels"
                )
            del self._classes[feedback.id]
        right = sum(a == b for a, b in zip(found, feedback.labels, strict=True))
        return right, len(found) - right


def classes(output: Array) -> list[Label] | None:
    """The class of each item: the position of its largest score, or the one whole number or text that it is.

    None where an item tells no class: a single float, or nothing.
    """
    if output.ndim == 0 or not len(output):
        return None
    flat: Array = output.reshape(len(output), -1)
    if flat.shape[1] == 1 and flat.dtype.kind != "f":
        values: Sequence[Any] = flat[:, 0].tolist()
        return [value if isinstance(value, str) else int(value) for value in values]
    if flat.shape[1] < 2 or flat.dtype.kind == "O":
        return None
    return [int(position) for position in np.argmax(flat, axis=1)]
