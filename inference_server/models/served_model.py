"""A model that serves: what a request to it is answered with, and what is kept of its answers."""

from collections.abc import Callable, Sequence
from time import perf_counter, thread_time
from typing import Any

from edge_runtime.backend import LoadedModel, RefusedInputs
from edge_runtime.datatypes import BFLOAT16, Array, as_numbers
from inference_server.errors import Expired, UnfitRequest
from inference_server.listeners.http import responses
from inference_server.listeners.http.json_fast_path import json_fast_path
from inference_server.listeners.http.responses import Response
from inference_server.models import feedback, replay
from inference_server.models.replay import Record, Ring
from inference_server.observability.metrics import Identity, ModelMetrics
from inference_server.observability.statistics import Stats
from inference_server.protocol import content_encoding, metadata
from inference_server.protocol.infer import Inference, RequestSignature
from inference_server.protocol.request_codec import RequestCodec
from inference_server.scheduling import batching
from inference_server.scheduling.workers import BatchQueue

QUICK_SECONDS = 200e-6
"""A request that takes less is answered where it arrives: handing it to a worker would take as long."""
QUICK_SECONDS_OF_ONE_WORKER = 1e-3
"""The same where there is one worker: it would share its core with the event loop, and nothing would be gained."""
QUICK_BYTES, QUICK_BINARY_BYTES = 16384, 1_048_576
"""JSON takes its time to be read, binary data none."""
MUCH_LARGER = 4.0
_WEIGHT = 0.05
"""Of the latest request in the running average."""


class ServedModel:
    def __init__(
        self,
        identity: Identity,
        model: LoadedModel,
        metrics: ModelMetrics,
        *,
        max_body_bytes: int,
        timeout_seconds: float,
        max_batch_items: int,
        threads: int,
        replay_requests: int,
    ) -> None:
        """``timeout_seconds``: a request that waited longer for its turn is refused.

        ``max_batch_items``: how many items of waiting requests may run as one; 1 for none. A model without an open
        first dimension takes no batches. ``threads``: how many workers share what waits.
        ``replay_requests``: how many are remembered for a candidate.
        """
        self.identity, self.metrics = identity, metrics
        self._model = model
        self._signature = RequestSignature(model.signature.inputs, model.signature.outputs)
        self._first = next(iter(model.signature.outputs))
        self._first_is_bfloat16 = model.signature.outputs[self._first].datatype == BFLOAT16
        self._timeout_seconds, self._max_body_bytes = timeout_seconds, max_body_bytes
        self.max_batch_items = max_batch_items if batching.has_items(model.signature) else 1
        self.batch_queue = BatchQueue(self, threads) if self.max_batch_items > 1 else None
        """Where requests wait that may run as one."""
        self._ring = Ring(replay_requests)
        self._predictions = feedback.Predictions()
        self._stats = Stats()
        replays_or_batches = replay_requests > 0 or self.max_batch_items > 1
        self.plain = (
            None
            if replays_or_batches
            else json_fast_path(model, self._signature, identity, metrics, self.update_cost, metrics.drift.note)
        )
        """How plain requests are answered in the event loop, while they are quick; None where that cannot be."""
        self._quick_seconds = QUICK_SECONDS if threads > 1 else QUICK_SECONDS_OF_ONE_WORKER
        self._average = float("inf")
        """Running average of the seconds that a request takes."""
        self._average_size = 0.0
        """The same of the bytes of its body."""

    def close(self) -> None:
        """Ends new requests: the JSON fast path and this object refer to each other, and would keep the model until a
        garbage collection."""
        self.plain = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Where infer requests go."""
        root = f"/v2/models/{self.identity.model}"
        return f"{root}/infer", f"{root}/versions/{self.identity.revision}/infer"

    def is_quick(self, size: int, *, binary: bool) -> bool:
        """Whether a request with a body of ``size`` bytes hardly holds up what else the event loop has to do.

        One that is much larger than usual may take much longer, too.
        """
        return (
            self._average < self._quick_seconds
            and size <= self._average_size * MUCH_LARGER
            and size <= (QUICK_BINARY_BYTES if binary else QUICK_BYTES)
            and self.max_batch_items == 1
        )

    def update_cost(self, seconds: float, size: int) -> None:
        """A request with a body of ``size`` bytes kept its thread for so long: by the clock where it arrived, by
        processor time in a worker, where the clock would count waiting for other threads, too."""
        if self._average == float("inf"):
            self._average, self._average_size = seconds, float(size)
        else:
            self._average += _WEIGHT * (seconds - self._average)
            self._average_size += _WEIGHT * (size - self._average_size)

    def infer(self, codec: RequestCodec, arrived: float) -> Any:
        """What ``codec`` writes. ``arrived``: ``perf_counter()`` at the request's last byte.

        Raises RequestError, and whatever the runtime raises.
        """
        started = perf_counter()
        inference = self._read(codec, arrived, started)
        return self._run(codec, inference, perf_counter() - started)

    def run_batch(self, items: Sequence["InferenceWork"]) -> list[Any]:
        """As ``infer`` of each, an exception in the place of its answer; what fits together runs as one.

        Where the model refuses what ran as one, each runs alone.
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
        """``decoding``: the seconds that each took to be read."""
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
        """The outputs of each; None where that cannot be."""
        try:
            arrays = self._model.run(batching.stack(inferences), inferences[0].wanted.names)
        except Exception:
            return None  # one of them may be at fault: alone, each shows
        return batching.take_apart(arrays, [batching.items(inference) or 0 for inference in inferences])

    def _run(self, codec: RequestCodec, inference: Inference, decoding: float) -> Any:
        started = perf_counter()
        try:
            arrays = self._model.run(inference.feeds, inference.wanted.names)
        except RefusedInputs as error:
            raise UnfitRequest(str(error)) from error
        ran = perf_counter()
        answer = self._write(codec, inference, arrays, ran)
        self._stats.count(1, decoding, ran - started, perf_counter() - ran)
        return answer

    def _read(self, codec: RequestCodec, arrived: float, now: float) -> Inference:
        if now - arrived > self._timeout_seconds:
            raise _expired(now - arrived, self._timeout_seconds)
        inference = codec.read(self._signature)
        limit = inference.timeout_seconds
        if limit is not None and (waited := perf_counter() - arrived) > limit:
            raise _expired(waited, limit)
        return inference

    def _write(self, codec: RequestCodec, inference: Inference, arrays: Sequence[Array], now: float) -> Any:
        self._note(inference, arrays, now)
        if self._ring.capacity:
            self._ring.note(inference, arrays)
        return codec.write(inference, self.identity, arrays)

    def feedback(self, headers: dict[bytes, bytes], body: bytes) -> Response:
        """Raises RequestError."""
        expanded = content_encoding.expand(body, headers.get(b"content-encoding"), self._max_body_bytes)
        right, wrong = self._predictions.judge(feedback.decode(expanded))
        self.metrics.record_feedback(right=right, wrong=wrong)
        return responses.json(
            {
                "model_name": self.identity.model,
                "model_version": self.identity.revision,
                "right": right,
                "wrong": wrong,
            }
        )

    def metadata(self) -> dict[str, Any]:
        return metadata.metadata(self.identity, self._model.platform, self._signature)

    def config(self) -> dict[str, Any]:
        return metadata.config(self.identity, self._model.platform, self._signature)

    def statistics(self) -> dict[str, Any]:
        """As the statistics extension has it."""
        return {
            "name": self.identity.model,
            "version": self.identity.revision,
            **self._stats.to_json(self.metrics),
        }

    def example(self) -> dict[str, Any]:
        """Raises InvalidRequest."""
        return metadata.example(self._signature)

    def recent(self) -> list[Record]:
        """What was asked lately, oldest first."""
        return self._ring.records()

    def recent_encoded(self) -> bytes:
        """The same, for a server that fetches it."""
        return replay.encode(self.recent(), self._signature)

    def _note(self, inference: Inference, arrays: Sequence[Array], now: float) -> None:
        """What the model's first output tells, where the request asked for it."""
        position = inference.wanted.position(self._first)
        if position is None:
            return
        scores = arrays[position]
        if self._first_is_bfloat16:
            scores = as_numbers(BFLOAT16, scores)
        self.metrics.drift.note(scores, now)
        if inference.id is not None:
            self._predictions.remember(inference.id, scores)


class InferenceWork:
    """One infer request, as the workers take it."""

    __slots__ = ("arrived", "codec", "served")

    def __init__(self, served: ServedModel, codec: RequestCodec, arrived: float) -> None:
        self.served, self.codec, self.arrived = served, codec, arrived

    def observe_queue_time(self, seconds: float) -> None:
        self.served.metrics.observe_queue_time(seconds)

    def work(self) -> Any:
        started = thread_time()
        answer = self.served.infer(self.codec, self.arrived)
        self.served.update_cost(thread_time() - started, self.codec.size)
        return answer


class FeedbackWork:
    """One feedback request, as the workers take it."""

    __slots__ = ("body", "headers", "served")

    def __init__(self, served: ServedModel, headers: dict[bytes, bytes], body: bytes) -> None:
        self.served, self.headers, self.body = served, headers, body

    def observe_queue_time(self, seconds: float) -> None:
        """It counts with no inference."""

    def work(self) -> Response:
        return self.served.feedback(self.headers, self.body)


def _caught(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except Exception as error:
        return error


def _expired(waited: float, limit: float) -> Expired:
    return Expired(f"the request waited {waited:.3g} s for its turn, its limit is {limit:g} s")
