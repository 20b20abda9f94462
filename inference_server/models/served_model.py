"""A model that serves: how it answers a request, and what it keeps of its answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol
from weakref import finalize

from edge_runtime.backend import LoadedModel
from edge_runtime.datatypes import BFLOAT16, Array, as_numbers
from inference_server.errors import Expired
from inference_server.generate.embedding import TextEncoder
from inference_server.generate.model import TextModel
from inference_server.identity import Identity
from inference_server.models import replay
from inference_server.models.feedback import Feedback, Predictions
from inference_server.models.replay import Record, Ring
from inference_server.observability.metrics import ModelMetrics
from inference_server.observability.statistics import Stats
from inference_server.observability.tokens import TokenMetrics
from inference_server.protocol import metadata
from inference_server.protocol.infer import Inference, RequestSignature
from inference_server.protocol.request_codec import RequestCodec
from inference_server.scheduling import batching
from inference_server.scheduling.workers import BatchQueue

QUICK_SECONDS = 200e-6
"""The duration below which a request is answered by the thread that received it, because a worker would take as
long."""
QUICK_SECONDS_OF_ONE_WORKER = 1e-3
"""The same limit with one worker, which shares its core with the event loop, so that handing over gains nothing."""
QUICK_BYTES, QUICK_BINARY_BYTES = 16384, 1_048_576
"""The largest bodies that count as quick: JSON takes time to be read, binary data do not."""
MUCH_LARGER = 4.0
_WEIGHT = 0.05
"""The weight of the latest request in the running averages."""


@dataclass(frozen=True)
class ServingLimits:
    """The limits of serving, which are the same for all models of a process."""

    timeout_seconds: float
    """The longest time that a request waits for its turn before it is refused."""
    max_batch_items: int
    """The number of items of waiting requests that may run as one batch; 1 for no batches."""
    workers: int
    """The number of workers that share the waiting requests."""
    replay_requests: int
    """The number of requests that are remembered for a candidate."""


class BatchItem(Protocol):
    """One infer request that waits for a batch."""

    codec: RequestCodec
    arrived: float


class ServedModel:
    """A model that answers requests, with its counts and its remembered predictions."""

    def __init__(self, identity: Identity, model: LoadedModel, metrics: ModelMetrics, limits: ServingLimits) -> None:
        """Disables batches for a model without an open first dimension."""
        self.identity, self.model, self.metrics = identity, model, metrics
        self.text = model if isinstance(model, TextModel) else None
        """The model, if it generates text; None for any other."""
        self.encoder: TextEncoder | None = None
        """The encoder of texts; None for a model that makes no embeddings of texts."""
        if self.text is not None:
            metrics.tokens = metrics.tokens or TokenMetrics(self.text.limits.objectives)
            self.text.count_in(metrics.tokens)
        # A request in work keeps this: the model ends with its last request, not with the unload.
        finalize(self, model.close).atexit = False
        self.signature = RequestSignature(model.signature.inputs, model.signature.outputs, model.signature.optional)
        self._first = next(iter(model.signature.outputs))
        self._first_is_bfloat16 = model.signature.outputs[self._first].datatype == BFLOAT16
        self._timeout_seconds = limits.timeout_seconds
        self.max_batch_items = limits.max_batch_items if batching.has_items(model.signature) else 1
        self.batch_queue = BatchQueue(self, limits.workers) if self.max_batch_items > 1 else None
        """The requests that wait and may run as one; None if none may."""
        self._ring = Ring(limits.replay_requests)
        self._predictions = Predictions()
        self._stats = Stats()
        self.takes_plain = limits.replay_requests == 0 and self.max_batch_items == 1
        """True if a PlainCodec may answer requests: nothing is kept of them, and none waits for a batch."""
        self._quick_seconds = QUICK_SECONDS if limits.workers > 1 else QUICK_SECONDS_OF_ONE_WORKER
        self._average = float("inf")
        """The running average of the duration of a request, in seconds."""
        self._average_size = 0.0
        """The running average of the size of its body, in bytes."""

    def is_quick(self, size: int, binary: bool) -> bool:
        """Returns whether a request with a body of ``size`` bytes is so quick that the receiving thread may answer it.

        One that is much larger than usual may take much longer, too.
        """
        return (
            self.text is None
            and self._average < self._quick_seconds
            and size <= self._average_size * MUCH_LARGER
            and size <= (QUICK_BINARY_BYTES if binary else QUICK_BYTES)
            and self.max_batch_items == 1
        )

    def update_cost(self, seconds: float, size: int) -> None:
        """Updates the average duration with that of a request with a body of ``size`` bytes: wall-clock time in the
        receiving thread, processor time in a worker, whose wall-clock time would include waiting for other threads."""
        if self._average == float("inf"):
            self._average, self._average_size = seconds, float(size)
        else:
            self._average += _WEIGHT * (seconds - self._average)
            self._average_size += _WEIGHT * (size - self._average_size)

    def infer(self, codec: RequestCodec, arrived: float) -> Any:
        """Returns the answer of ``codec``. ``arrived`` is ``perf_counter()`` at the request's last byte.

        It counts the run, and keeps what is needed of the prediction; the service counts the request. Raises
        RequestError, and whatever the runtime raises.
        """
        started = perf_counter()
        inference = self._read(codec, arrived, started)
        return self._run(codec, inference, perf_counter() - started)

    def run_batch(self, items: Sequence[BatchItem]) -> list[Any]:
        """Returns the result of ``infer`` for each, or its exception; requests that fit together run as one batch.

        If the model refuses a batch, each runs alone.
        """
        started = perf_counter()
        found: list[Any] = [None] * len(items)
        read: list[tuple[int, RequestCodec, Inference]] = []
        for position, item in enumerate(items):
            try:
                read.append((position, item.codec, self._read(item.codec, item.arrived, perf_counter())))
            except Exception as error:
                found[position] = error
        decoding = (perf_counter() - started) / len(items)
        for group in batching.groups([inference for _, _, inference in read], self.max_batch_items):
            members = [read[one] for one in group]
            answered = self._run_as_one([(codec, inference) for _, codec, inference in members], decoding)
            for (position, _, _), answer in zip(members, answered, strict=True):
                found[position] = answer
        return found

    def _run_as_one(self, members: Sequence[tuple[RequestCodec, Inference]], decoding: float) -> list[Any]:
        """Runs the members as one batch. ``decoding`` has the seconds for which each was decoded."""
        started = perf_counter()
        parts = self._stacked([inference for _, inference in members]) if len(members) > 1 else None
        if parts is None:
            return [_caught(self._run, codec, inference, decoding) for codec, inference in members]
        ran = perf_counter()
        written = [
            _caught(self._write, codec, inference, arrays, ran)
            for (codec, inference), arrays in zip(members, parts, strict=True)
        ]
        self._stats.count(len(members), decoding * len(members), ran - started, perf_counter() - ran)
        return written

    def _stacked(self, inferences: Sequence[Inference]) -> list[list[Array]] | None:
        """Returns the outputs of each; None if they cannot run as one."""
        try:
            arrays = self.model.run(batching.stack(inferences), inferences[0].wanted.names)
        except Exception:
            return None  # one of them may be the cause, which running each alone shows
        return batching.take_apart(arrays, [batching.items(inference) or 0 for inference in inferences])

    def _run(self, codec: RequestCodec, inference: Inference, decoding: float) -> Any:
        started = perf_counter()
        arrays = self.model.run(inference.feeds, inference.wanted.names)
        ran = perf_counter()
        answer = self._write(codec, inference, arrays, ran)
        self._stats.count(1, decoding, ran - started, perf_counter() - ran)
        return answer

    def _read(self, codec: RequestCodec, arrived: float, now: float) -> Inference:
        if now - arrived > self._timeout_seconds:
            raise _expired(now - arrived, self._timeout_seconds)
        inference = codec.read(self.signature)
        limit = inference.timeout_seconds
        if limit is not None and (waited := perf_counter() - arrived) > limit:
            raise _expired(waited, limit)
        return inference

    def _write(self, codec: RequestCodec, inference: Inference, arrays: Sequence[Array], now: float) -> Any:
        self._note(inference, arrays, now)
        if self._ring.capacity:
            self._ring.note(inference, arrays)
        return codec.write(inference, self.identity, arrays)

    def feedback(self, feedback: Feedback) -> dict[str, Any]:
        """Counts the items of an earlier prediction as right or wrong. Raises RequestError."""
        right, wrong = self._predictions.judge(feedback)
        self.metrics.record_feedback(right=right, wrong=wrong)
        return {
            "model_name": self.identity.model,
            "model_version": self.identity.revision,
            "right": right,
            "wrong": wrong,
        }

    def metadata(self) -> dict[str, Any]:
        """Returns the JSON of the model's metadata."""
        return metadata.metadata(self.identity, self.model.platform, self.signature)

    def config(self) -> dict[str, Any]:
        """Returns the JSON of the model's configuration."""
        return metadata.config(self.identity, self.model.platform, self.signature)

    def statistics(self) -> dict[str, Any]:
        """Returns the counts in the form of the statistics extension."""
        return {
            "name": self.identity.model,
            "version": self.identity.revision,
            **self._stats.to_json(self.metrics),
        }

    def example(self) -> dict[str, Any]:
        """Returns an example request. Raises InvalidRequest."""
        return metadata.example(self.signature)

    def recent(self) -> list[Record]:
        """Returns the latest requests, oldest first."""
        return self._ring.records()

    def recent_encoded(self) -> bytes:
        """Returns the latest requests as bytes, for a server that fetches them."""
        return replay.encode(self.recent(), self.signature)

    def _note(self, inference: Inference, arrays: Sequence[Array], now: float) -> None:
        """Keeps what the model's first output shows, if the request asked for it and it is no generated text."""
        position = inference.wanted.position(self._first)
        if position is None or self.text is not None:
            return
        scores = arrays[position]
        if self._first_is_bfloat16:
            scores = as_numbers(BFLOAT16, scores)
        self.metrics.drift.note(scores, now)
        if inference.id is not None:
            self._predictions.remember(inference.id, scores)


def _caught(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except Exception as error:
        return error


def _expired(waited: float, limit: float) -> Expired:
    return Expired(f"the request waited {waited:.3g} s for its turn, its limit is {limit:g} s")
