"""Predictions that wait for their labels: feedback says whether they were right, by the id of the request.

Only classes are kept, no inputs: nothing that a camera saw stays here. They are kept in this process, so a label counts
for the revision that made the prediction, or not at all.
"""

from collections.abc import Sequence
from threading import Lock

import msgspec

from edge_runtime.classes import classes_of
from edge_runtime.datatypes import Array
from edgemodel.error_words import in_words
from inference_server.errors import InvalidRequest, PredictionNotFound
from inference_server.protocol.tensors import Buffer

MAX_REQUESTS = 4096
MAX_ITEMS = 1024
"""The number of items above which a request is not remembered."""
MAX_TEXT_LENGTH = 256
"""The length, in characters, of an id or a text class above which a request is not remembered."""
MAX_BYTES = 17_000_000
"""The limit of all remembered classes together, in bytes of JSON: MAX_REQUESTS of MAX_ITEMS with classes up to 999.
Beyond it, fewer requests are remembered."""

Label = int | str


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a feedback request: the ``id`` of an earlier one, and the right class of each of its items."""

    id: str
    labels: list[Label]


_decode = msgspec.json.Decoder(Feedback).decode
_encode_classes = msgspec.json.Encoder().encode
_decode_classes = msgspec.json.Decoder(list[Label]).decode


def decode(body: Buffer) -> Feedback:
    """Returns the feedback. Raises InvalidRequest."""
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f'feedback is {{"id": "…", "labels": [3]}}, an id and a class an item: {in_words(error)}'
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the feedback is not JSON: {in_words(error)}") from error


class Predictions:
    """The classes of the last MAX_REQUESTS requests with an id, within MAX_BYTES.

    It is safe to call from several threads.
    """

    def __init__(self) -> None:
        self._classes: dict[str, bytes] = {}  # JSON, whose bytes can be counted
        self._bytes = 0
        self._lock = Lock()

    def remember(self, request: str, output: Array) -> None:
        """Stores the classes of ``output``, the model's first output as comparable numbers (``as_numbers``), with a
        first axis of items.

        A later request of the same id replaces an earlier one, even if it is itself not remembered: a label is never
        counted against another request's prediction.
        """
        found = classes(output)
        kept = None if found is None or not _fits(request, found) else _encode_classes(found)
        with self._lock:
            self._forget(request)
            if kept is None:
                return
            self._classes[request] = kept
            self._bytes += len(kept)
            while len(self._classes) > MAX_REQUESTS or self._bytes > MAX_BYTES:
                self._forget(next(iter(self._classes)))

    def judge(self, feedback: Feedback) -> tuple[int, int]:
        """Returns how many items were (right, wrong), and forgets the prediction.

        Raises PredictionNotFound, InvalidRequest.
        """
        with self._lock:
            kept = self._classes.get(feedback.id)
            if kept is None:
                raise PredictionNotFound(
                    f"no prediction of a request with id {feedback.id[:MAX_TEXT_LENGTH]!r} is remembered: the last"
                    f" {MAX_REQUESTS} are, fewer where classes are long texts, each until its feedback, while their"
                    " revision serves; the first output has to tell a class; an id, or a text that is a class, has at"
                    f" most {MAX_TEXT_LENGTH} characters"
                )
            found = _decode_classes(kept)
            if len(found) != len(feedback.labels):
                raise InvalidRequest(
                    f"request {feedback.id!r} had {len(found)} items, the feedback has {len(feedback.labels)} labels"
                )
            self._forget(feedback.id)
        right = sum(a == b for a, b in zip(found, feedback.labels, strict=True))
        return right, len(found) - right

    def _forget(self, request: str) -> None:
        self._bytes -= len(self._classes.pop(request, b""))


def _fits(request: str, found: Sequence[Label]) -> bool:
    """Returns whether the request may be remembered."""
    texts = [request, *(label for label in found if isinstance(label, str))]
    return len(found) <= MAX_ITEMS and max(map(len, texts)) <= MAX_TEXT_LENGTH


def classes(output: Array) -> list[Label] | None:
    """Returns the class of each item (``edge_runtime.classes``); None if an item has no class."""
    found = classes_of(output)
    if found is None:
        return None
    return [value if isinstance(value, str) else int(value) for value in found.tolist()]
