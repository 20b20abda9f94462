"""The ASGI application: from a request to its answer, and from every exception to ``{"error": …}``."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hmac import compare_digest
from http import HTTPStatus
from time import perf_counter

import inference_server
from edgemodel import metrics as contract
from inference_server.errors import Busy, MethodNotAllowed, NotReady, PathNotFound, RequestError, client_disconnected
from inference_server.listeners.http import model_repository_api, openapi, responses, routes
from inference_server.listeners.http.asgi import Receive, Scope, Send
from inference_server.listeners.http.model_repository_api import ModelRepositoryApi
from inference_server.listeners.http.request_body import read_body
from inference_server.listeners.http.responses import Response
from inference_server.models.repository import LOADING, ModelRepository
from inference_server.models.served_model import FeedbackWork, InferenceWork, ServedModel
from inference_server.observability.metrics import CONTENT_TYPE, Exposition, ModelMetrics
from inference_server.protocol.request_codec import HttpRequestCodec
from inference_server.scheduling.workers import BatchQueue, Workers, WorkItem

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
MAX_CONTROL_BYTES = 65536
"""Of a request that says what to load."""
MAX_MODEL_CHANGES = 16
"""Such requests that may be in work or waiting."""

_LOG_INTERVAL_SECONDS = 1.0  # an error that every request meets must not fill the node's disk
_log = logging.getLogger(__name__)


class App:
    def __init__(
        self,
        repository: ModelRepository,
        workers: Workers,
        *,
        max_body_bytes: int,
        explicit_model_control: bool,
        replay_token: str | None,
    ) -> None:
        """``explicit_model_control``: clients may load and unload models.

        ``replay_token``: what a candidate shows that asks what was asked here; None: nobody may.
        """
        self.draining = False
        """Once true, every answer tells its client to close the connection."""
        self.repository = repository
        self.workers = workers
        self.max_body_bytes = max_body_bytes
        self._replay_token = replay_token
        self._control_thread = ThreadPoolExecutor(1, "control")
        self._turns = 0
        self.control = ModelRepositoryApi(repository, explicit=explicit_model_control)
        self._exposition = Exposition(lambda: [entry.metrics for entry in repository.entries.values()])
        self._logged_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        route = routes.find(scope["path"])
        outcome = contract.OK
        try:
            response = await self._answer(route, scope, receive)
        except Exception as error:
            response, outcome = self.error_response(error)
        if route is not None and route.endpoint == "infer":
            self._counted(route).record_request(outcome, perf_counter() - started)
        last = self.draining or (response.status >= 400 and _asks_first(scope))
        await self._send(response, last, send)

    def infer(self, served: ServedModel, codec: HttpRequestCodec, arrived: float) -> tuple[Response, str]:
        """The answer and its outcome, an error's too."""
        try:
            return served.infer(codec, arrived), contract.OK
        except Exception as error:
            return self.error_response(error)

    def error_response(self, error: Exception) -> tuple[Response, str]:
        """The answer that tells ``error``, and its outcome."""
        message, outcome = self.error_message(error)
        if isinstance(error, RequestError):
            return responses.error(error.status, message, error.headers), outcome
        return responses.error(HTTPStatus.INTERNAL_SERVER_ERROR, message), outcome

    def error_message(self, error: Exception) -> tuple[str, str]:
        """What a client is told of ``error``, and its outcome."""
        if isinstance(error, RequestError):
            return responses.shortened(str(error)), error.outcome
        self._log_failure(error)
        return responses.shortened(f"inference failed: {error}"), contract.SERVER_ERROR

    async def _answer(self, route: routes.Route | None, scope: Scope, receive: Receive) -> Response:
        path, method = scope["path"], scope["method"]
        if route is None:
            raise PathNotFound(f"there is no {path}")
        if method not in route.allowed:
            raise MethodNotAllowed(method, path, ", ".join(route.allowed))
        match route.endpoint:
            case "live":
                return responses.json({"live": True})
            case "ready":
                if not self.repository.ready:
                    raise NotReady(LOADING)
                return responses.json({"ready": True})
            case "openapi":
                return responses.json(openapi.document())
            case "metrics":
                return Response(HTTPStatus.OK, self._exposition.scrape(), ((b"content-type", CONTENT_TYPE),))
            case "server":
                return responses.json(
                    {"name": "edgemodel", "version": inference_server.__version__, "extensions": EXTENSIONS}
                )
            case "index" | "load" | "unload":
                return await self._control(route, scope, receive)
            case "all-stats":
                return responses.json({"model_stats": [served.statistics() for served in self.repository.serving]})
        served = self.repository.find(route.model, route.version)
        match route.endpoint:
            case "model":
                return responses.json(served.metadata())
            case "model-ready":
                return responses.json({"name": route.model, "ready": True})
            case "config":
                return responses.json(served.config())
            case "stats":
                return responses.json({"model_stats": [served.statistics()]})
            case "example":
                return responses.json(served.example())
            case "replay":
                self._check_replay_token(path, scope)
                body = await asyncio.to_thread(served.recent_encoded)
                return Response(HTTPStatus.OK, body, ((b"content-type", b"application/octet-stream"),))
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, self.max_body_bytes)
        if route.endpoint == "feedback":
            return await self._work(FeedbackWork(served, headers, body), None, receive)
        item = InferenceWork(served, HttpRequestCodec(headers, body, self.max_body_bytes), perf_counter())
        return await self._work(item, served.batch_queue, receive)

    async def _in_turn(self, act: Callable[[str], None], model: str) -> None:
        """One at a time, in a thread of its own that nobody waits for at the end. Raises Busy, what ``act`` raises."""
        if self._turns >= MAX_MODEL_CHANGES:
            raise Busy(f"{self._turns} loads and unloads are in work or waiting, limit {MAX_MODEL_CHANGES}")
        self._turns += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._control_thread, act, model)
        finally:
            self._turns -= 1

    def _check_replay_token(self, path: str, scope: Scope) -> None:
        """To whom it is not meant, it is not there. Raises PathNotFound."""
        shown = dict(scope["headers"]).get(b"authorization", b"")
        if self._replay_token is None or not compare_digest(shown, f"Bearer {self._replay_token}".encode()):
            raise PathNotFound(f"there is no {path}")

    def _counted(self, route: routes.Route) -> ModelMetrics:
        """Where an infer request counts; one for a model that is not here, with the first."""
        return self.repository.entries.get(route.model, self.repository.first).metrics

    async def _control(self, route: routes.Route, scope: Scope, receive: Receive) -> Response:
        """The repository extension."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, MAX_CONTROL_BYTES)
        if route.endpoint == "index":
            return responses.json(self.control.index(only_ready=model_repository_api.decode_index(body).ready))
        model_repository_api.decode_load(body)
        act = self.control.load if route.endpoint == "load" else self.control.unload
        await self._in_turn(act, route.model)
        return responses.json({})

    async def _work(self, item: WorkItem, batch_queue: BatchQueue | None, receive: Receive) -> Response:
        """In a worker: a large body must not hold up the health endpoints. Not begun when its client is gone before."""
        working = asyncio.ensure_future(self.workers.run(item, batch_queue))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise client_disconnected()
            response: Response = working.result()
            return response
        finally:
            leaving.cancel()
            working.cancel()
            del working  # what it raised holds this frame: together they would keep the body until a garbage collection

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


async def _left(receive: Receive) -> None:
    """Until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _asks_first(scope: Scope) -> bool:
    """``Expect: 100-continue``: after a refusal, nobody knows whether the body will follow."""
    return any(name == b"expect" for name, _ in scope["headers"])
