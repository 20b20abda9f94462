"""The ASGI application: from a request to its answer, and from every exception to ``{"error": …}``."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any

import msgspec

import inference_server
from edgemodel import metrics as contract
from edgemodel.artifact import Tensor
from inference_server import codings, feedback, protocol, routes, tensors
from inference_server.asgi import Receive, Scope, Send
from inference_server.bodies import read_body
from inference_server.datatypes import DATATYPES
from inference_server.errors import MethodNotAllowed, ModelNotReady, NotFound, NotReady, RequestError
from inference_server.metrics import CONTENT_TYPE, Identity, Metrics
from inference_server.session import Model
from inference_server.tensors import Array
from inference_server.workers import Workers

LOADING = "the model is being loaded and tested"
MESSAGE_MAX = 1000
"""Characters of an error message; it may quote what the client sent."""

_LOG_INTERVAL_SECONDS = 1.0  # an error that every request meets must not fill the node's disk
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    headers: Headers = ((b"content-type", b"application/json"),)


class App:
    def __init__(self, identity: Identity, metrics: Metrics, workers: Workers, max_body_bytes: int) -> None:
        self.model: Model | None = None
        """None until the model is loaded and its golden set agrees."""
        self.draining = False
        """Once true, every answer tells its client to close the connection."""
        self._identity = identity
        self._metrics = metrics
        self._workers = workers
        self._max_body_bytes = max_body_bytes
        self._predictions = feedback.Predictions()
        self._logged_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        route = routes.find(scope["path"])
        outcome = contract.OK
        try:
            response = await self._answer(route, scope, receive)
        except RequestError as error:
            outcome = error.outcome
            response = _error(error.status, str(error), error.headers)
        except Exception as error:
            outcome = contract.SERVER_ERROR
            self._log_failure(error)
            response = _error(HTTPStatus.INTERNAL_SERVER_ERROR, f"inference failed: {error}")
        if route is not None and route.endpoint == "infer":
            self._metrics.answered(outcome, perf_counter() - started)
        last = self.draining or (response.status >= 400 and _asks_first(scope))
        await self._send(response, last, send)

    async def _answer(self, route: routes.Route | None, scope: Scope, receive: Receive) -> Response:
        path, method = scope["path"], scope["method"]
        if route is None:
            raise NotFound(f"there is no {path}")
        if method not in route.allowed:
            raise MethodNotAllowed(method, path, ", ".join(route.allowed))
        match route.endpoint:
            case "live":
                return _json({"live": True})
            case "ready":
                if self.model is None:
                    raise NotReady(LOADING)
                return _json({"ready": True})
            case "metrics":
                return Response(HTTPStatus.OK, self._metrics.scrape(), ((b"content-type", CONTENT_TYPE),))
            case "server":
                return _json({"name": "edgemodel", "version": _version(), "extensions": ["binary_tensor_data"]})
        model = self._named_model(route)
        match route.endpoint:
            case "model":
                return _json(self._metadata(model))
            case "model-ready":
                return _json({"name": self._identity.model, "ready": True})
            case "feedback":
                return await self._feedback(scope, receive)
        return await self._infer(model, scope, receive)

    def _named_model(self, route: routes.Route) -> Model:
        if route.model != self._identity.model:
            raise NotFound(f"model {route.model!r} is unknown, this server has {self._identity.model!r}")
        if route.version not in (None, self._identity.revision):
            raise NotFound(f"version {route.version!r} is unknown, this server has {self._identity.revision!r}")
        if self.model is None:
            raise ModelNotReady(f"model {route.model!r} is not ready: {LOADING}")
        return self.model

    def _metadata(self, model: Model) -> dict[str, Any]:
        return {
            "name": self._identity.model,
            "versions": [self._identity.revision],
            "platform": "onnxruntime_onnx",
            "inputs": [_tensor(tensor) for tensor in model.signature.inputs.values()],
            "outputs": [_tensor(tensor) for tensor in model.signature.outputs.values()],
        }

    async def _feedback(self, scope: Scope, receive: Receive) -> Response:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, self._max_body_bytes)
        return await self._workers.run(partial(self._feedback_body, headers, body))

    def _feedback_body(self, headers: dict[bytes, bytes], body: bytes) -> Response:
        """In a worker, as ``_infer_body`` is."""
        body = codings.expand(body, headers.get(b"content-encoding"), self._max_body_bytes)
        right, wrong = self._predictions.judge(feedback.decode(body))
        self._metrics.labelled(right=right, wrong=wrong)
        return _json(
            {
                "model_name": self._identity.model,
                "model_version": self._identity.revision,
                "right": right,
                "wrong": wrong,
            }
        )

    async def _infer(self, model: Model, scope: Scope, receive: Receive) -> Response:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, self._max_body_bytes)
        return await self._workers.run(partial(self._infer_body, model, headers, body))

    def _infer_body(self, model: Model, headers: dict[bytes, bytes], body: bytes) -> Response:
        """In a worker: a large body must not hold up the health endpoints."""
        body = codings.expand(body, headers.get(b"content-encoding"), self._max_body_bytes)
        inference = protocol.decode(body, headers.get(protocol.HEADER_LENGTH), model.signature)
        arrays = model.run(inference.feeds, [wanted.tensor.name for wanted in inference.wanted])
        if inference.id is not None:
            self._remember(model, inference, arrays)
        reply = protocol.encode(inference, self._identity.model, self._identity.revision, arrays)
        coding = codings.choose(headers.get(b"accept-encoding"))
        if coding is None or len(reply.body) < codings.REPLY_MIN_BYTES:
            return Response(HTTPStatus.OK, reply.body, reply.headers)
        return Response(
            HTTPStatus.OK, codings.compress(reply.body, coding), (*reply.headers, (b"content-encoding", coding))
        )

    def _remember(self, model: Model, inference: protocol.Inference, arrays: Sequence[Array]) -> None:
        """For feedback, the model's first output, where the request asked for it."""
        first = next(iter(model.signature.outputs))
        for wanted, array in zip(inference.wanted, arrays, strict=True):
            if wanted.tensor.name == first and inference.id is not None:
                self._predictions.remember(inference.id, tensors.numbers(DATATYPES[wanted.tensor.datatype], array))

    def _log_failure(self, error: Exception) -> None:
        now = perf_counter()
        if now - self._logged_at >= _LOG_INTERVAL_SECONDS:
            self._logged_at = now
            _log.error("a request failed", exc_info=error)

    async def _send(self, response: Response, last: bool, send: Send) -> None:
        headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
        if last:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
        await send({"type": "http.response.body", "body": response.body})


def _asks_first(scope: Scope) -> bool:
    """``Expect: 100-continue``: after a refusal, nobody knows whether the body will follow."""
    return any(name == b"expect" for name, _ in scope["headers"])


def _json(value: Any) -> Response:
    return Response(HTTPStatus.OK, _encode(value))


def _error(status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    body = _encode({"error": message[:MESSAGE_MAX]})
    return Response(status, body, ((b"content-type", b"application/json"), *headers))


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def _version() -> str:
    return inference_server.__version__
