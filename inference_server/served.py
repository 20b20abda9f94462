"""A model that serves: what a request to it is answered with, and what is kept of its answers."""

from collections.abc import Sequence
from http import HTTPStatus
from math import prod
from threading import Lock
from time import perf_counter, time
from typing import Any

from edgemodel import metrics as contract
from edgemodel.artifact import Tensor
from inference_server import answers, codings, feedback, protocol, tensors
from inference_server.answers import Response
from inference_server.datatypes import DATATYPES
from inference_server.errors import Expired, InvalidRequest
from inference_server.metrics import Identity, ModelMetrics
from inference_server.session import Model
from inference_server.tensors import Array

QUICK_SECONDS = 200e-6
"""A request that takes less is answered where it arrives: handing it to a worker would take as long."""
QUICK_BYTES = 16384
MOST_EXAMPLE_ELEMENTS = 4_000_000
_WEIGHT = 0.05
"""Of the latest request in the running average."""


class Served:
    def __init__(
        self, identity: Identity, model: Model, metrics: ModelMetrics, *, max_body_bytes: int, timeout_seconds: float
    ) -> None:
        """``timeout_seconds``: a request that waited longer for its turn is refused."""
        self._timeout_seconds = timeout_seconds
        self.identity = identity
        self._model = model
        self.metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._predictions = feedback.Predictions()
        self._seconds = float("inf")
        """Running average of a request's work."""
        self._lock = Lock()
        self._requests = 0
        self._decoding = self._running = self._encoding = self._last = 0.0
        """Sums of seconds; the last is the Unix time of the last good answer."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where infer requests go."""
        root = f"/v2/models/{self.identity.model}"
        return f"{root}/infer", f"{root}/versions/{self.identity.revision}/infer"

    def is_quick(self, size: int) -> bool:
        """Whether a request with a body of ``size`` bytes hardly holds up what else the event loop has to do."""
        return self._seconds < QUICK_SECONDS and size <= QUICK_BYTES

    def infer(self, headers: dict[bytes, bytes], body: bytes, arrived: float) -> Response:
        """``arrived``: ``perf_counter()`` at its last byte. Raises RequestError, and whatever the runtime raises."""
        started = perf_counter()
        _check_time(started - arrived, self._timeout_seconds)
        model = self._model
        body = codings.expand(body, headers.get(b"content-encoding"), self._max_body_bytes)
        inference = protocol.decode(body, headers.get(protocol.HEADER_LENGTH), model.signature)
        decoded = perf_counter()
        if inference.timeout_seconds is not None:
            _check_time(decoded - arrived, inference.timeout_seconds)
        arrays = model.run(inference.feeds, [wanted.tensor.name for wanted in inference.wanted])
        ran = perf_counter()
        if inference.id is not None:
            self._remember(inference, arrays)
        reply = protocol.encode(inference, self.identity.model, self.identity.revision, arrays)
        response = _coded(reply, headers.get(b"accept-encoding"))
        self._count(decoded - started, ran - decoded, perf_counter() - ran)
        return response

    def _count(self, decoding: float, running: float, encoding: float) -> None:
        took = decoding + running + encoding
        with self._lock:
            self._seconds = took if self._requests == 0 else self._seconds + _WEIGHT * (took - self._seconds)
            self._requests += 1
            self._decoding += decoding
            self._running += running
            self._encoding += encoding
            self._last = time()

    def feedback(self, headers: dict[bytes, bytes], body: bytes, _arrived: float) -> Response:
        """Raises RequestError."""
        body = codings.expand(body, headers.get(b"content-encoding"), self._max_body_bytes)
        right, wrong = self._predictions.judge(feedback.decode(body))
        self.metrics.labelled(right=right, wrong=wrong)
        return answers.json(
            {
                "model_name": self.identity.model,
                "model_version": self.identity.revision,
                "right": right,
                "wrong": wrong,
            }
        )

    def metadata(self) -> dict[str, Any]:
        return {
            "name": self.identity.model,
            "versions": [self.identity.revision],
            "platform": "onnxruntime_onnx",
            "inputs": [_tensor(tensor) for tensor in self._model.signature.inputs.values()],
            "outputs": [_tensor(tensor) for tensor in self._model.signature.outputs.values()],
        }

    def config(self) -> dict[str, Any]:
        """As the model configuration extension has it, as far as it applies: no batching by the server."""
        return {
            "name": self.identity.model,
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": 0,
            "input": [_configured(tensor) for tensor in self._model.signature.inputs.values()],
            "output": [_configured(tensor) for tensor in self._model.signature.outputs.values()],
        }

    def statistics(self) -> dict[str, Any]:
        """As the statistics extension has it; nothing is cached."""
        metrics = self.metrics
        good = metrics.outcomes[contract.OK]
        bad = sum(metrics.outcomes.values()) - good
        with self._lock:
            count = self._requests
            sums = (
                ("compute_input", self._decoding),
                ("compute_infer", self._running),
                ("compute_output", self._encoding),
            )
            last = self._last
        return {
            "name": self.identity.model,
            "version": self.identity.revision,
            "last_inference": round(last * 1000),
            "inference_count": count,
            "execution_count": count,
            "inference_stats": {
                "success": _duration(good, metrics.duration.sum),
                "fail": _duration(bad, metrics.failed_seconds),
                "queue": _duration(metrics.queue.count, metrics.queue.sum),
                **{name: _duration(count, seconds) for name, seconds in sums},
                "cache_hit": _duration(0, 0),
                "cache_miss": _duration(0, 0),
            },
            "batch_stats": [],
        }

    def example(self) -> dict[str, Any]:
        """The body of an infer request of zeros that fits. Raises InvalidRequest where JSON cannot say it."""
        inputs = []
        for tensor in self._model.signature.inputs.values():
            datatype = DATATYPES[tensor.datatype]
            shape = [1 if size == -1 else size for size in tensor.shape]
            if datatype.json is None:
                raise InvalidRequest(
                    f"input {tensor.name!r}: {tensor.datatype} has no JSON form, send it as binary data"
                )
            if prod(shape) > MOST_EXAMPLE_ELEMENTS:
                raise InvalidRequest(f"input {tensor.name!r}: an example of shape {shape} would be too long")
            data = [datatype.json()] * prod(shape)
            inputs.append({"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data})
        return {"inputs": inputs}

    def _remember(self, inference: protocol.Inference, arrays: Sequence[Array]) -> None:
        """For feedback, the model's first output, where the request asked for it."""
        first = next(iter(self._model.signature.outputs))
        for wanted, array in zip(inference.wanted, arrays, strict=True):
            if wanted.tensor.name == first and inference.id is not None:
                self._predictions.remember(inference.id, tensors.numbers(DATATYPES[wanted.tensor.datatype], array))


def _check_time(waited: float, limit: float) -> None:
    if waited > limit:
        raise Expired(f"the request waited {waited:.3g} s for its turn, its limit is {limit:g} s")


def _coded(reply: protocol.Reply, accepted: bytes | None) -> Response:
    if accepted is None or len(reply.body) < codings.REPLY_MIN_BYTES:
        return Response(HTTPStatus.OK, reply.body, reply.headers)
    coding = codings.choose(accepted)
    if coding is None:
        return Response(HTTPStatus.OK, reply.body, reply.headers)
    headers = (*reply.headers, (b"content-encoding", coding))
    return Response(HTTPStatus.OK, codings.compress(reply.body, coding), headers)


def _configured(tensor: Tensor) -> dict[str, Any]:
    datatype = {"BYTES": "STRING"}.get(tensor.datatype, tensor.datatype)
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": list(tensor.shape)}


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
