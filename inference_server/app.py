"""The ASGI application: from a request to its answer, and from every exception to ``{"error": …}``."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from time import perf_counter

import inference_server
from edgemodel import metrics as contract
from inference_server import answers, control, routes
from inference_server.answers import Response
from inference_server.asgi import Receive, Scope, Send
from inference_server.bodies import read_body
from inference_server.boot import Ending
from inference_server.errors import Disconnected, InvalidRequest, MethodNotAllowed, NotFound, NotReady, RequestError
from inference_server.metrics import CONTENT_TYPE, Exposition, ModelMetrics
from inference_server.repository import LOADING, Repository
from inference_server.served import Served
from inference_server.workers import Workers

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
MOST_CONTROL_BYTES = 65536
"""Of a request that says what to load."""

_LOG_INTERVAL_SECONDS = 1.0  # an error that every request meets must not fill the node's disk
_log = logging.getLogger(__name__)


class App:
    def __init__(
        self, repository: Repository, workers: Workers, *, max_body_bytes: int, explicit_model_control: bool
    ) -> None:
        """``explicit_model_control``: clients may load and unload models."""
        self.draining = False
        """Once true, every answer tells its client to close the connection."""
        self.repository = repository
        self.workers = workers
        self.max_body_bytes = max_body_bytes
        self._explicit = explicit_model_control
        self._exposition = Exposition(lambda: [entry.metrics for entry in repository.entries.values()])
        self._logged_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        route = routes.find(scope["path"])
        outcome = contract.OK
        try:
            response = await self._answer(route, scope, receive)
        except Exception as error:
            response, outcome = self.failed(error)
        if route is not None and route.endpoint == "infer":
            self._counted(route).answered(outcome, perf_counter() - started)
        last = self.draining or (response.status >= 400 and _asks_first(scope))
        await self._send(response, last, send)

    def infer(self, served: Served, headers: dict[bytes, bytes], body: bytes, arrived: float) -> tuple[Response, str]:
        """The answer and its outcome, an error's too."""
        try:
            return served.infer(headers, body, arrived), contract.OK
        except Exception as error:
            return self.failed(error)

    def failed(self, error: Exception) -> tuple[Response, str]:
        """The answer that tells ``error``, and its outcome."""
        if isinstance(error, RequestError):
            return answers.error(error.status, str(error), error.headers), error.outcome
        self._log_failure(error)
        response = answers.error(HTTPStatus.INTERNAL_SERVER_ERROR, f"inference failed: {error}")
        return response, contract.SERVER_ERROR

    async def _answer(self, route: routes.Route | None, scope: Scope, receive: Receive) -> Response:
        path, method = scope["path"], scope["method"]
        if route is None:
            raise NotFound(f"there is no {path}")
        if method not in route.allowed:
            raise MethodNotAllowed(method, path, ", ".join(route.allowed))
        match route.endpoint:
            case "live":
                return answers.json({"live": True})
            case "ready":
                if not self.repository.ready:
                    raise NotReady(LOADING)
                return answers.json({"ready": True})
            case "metrics":
                return Response(HTTPStatus.OK, self._exposition.scrape(), ((b"content-type", CONTENT_TYPE),))
            case "server":
                return answers.json(
                    {"name": "edgemodel", "version": inference_server.__version__, "extensions": EXTENSIONS}
                )
            case "index" | "load" | "unload":
                return await self._control(route, scope, receive)
            case "all-stats":
                serving = [entry.served for entry in self.repository.entries.values() if entry.served is not None]
                return answers.json({"model_stats": [served.statistics() for served in serving]})
        served = self.repository.find(route.model, route.version)
        match route.endpoint:
            case "model":
                return answers.json(served.metadata())
            case "model-ready":
                return answers.json({"name": route.model, "ready": True})
            case "config":
                return answers.json(served.config())
            case "stats":
                return answers.json({"model_stats": [served.statistics()]})
            case "example":
                return answers.json(served.example())
            case "feedback":
                return await self._work(served, served.feedback, scope, receive)
        return await self._work(served, served.infer, scope, receive)

    def _counted(self, route: routes.Route) -> ModelMetrics:
        """Where an infer request counts; one for a model that is not here, with the first."""
        return self.repository.entries.get(route.model, self.repository.first).metrics

    async def _control(self, route: routes.Route, scope: Scope, receive: Receive) -> Response:
        """The repository extension."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, MOST_CONTROL_BYTES)
        if route.endpoint == "index":
            only_ready = control.decode_index(body).ready
            listed = [
                {
                    "name": entry.identity.model,
                    "version": entry.identity.revision,
                    "state": entry.state,
                    "reason": "" if entry.served is not None else entry.reason,
                }
                for entry in self.repository.entries.values()
                if entry.served is not None or not only_ready
            ]
            return answers.json(listed)
        if not self._explicit:
            raise InvalidRequest(
                f"models are not {route.endpoint}ed by request here: start the server with --model-control explicit"
            )
        control.decode_load(body)
        self.repository.entry(route.model, None)
        if route.endpoint == "unload":
            await asyncio.to_thread(self.repository.unload, route.model)
            return answers.json({})
        outcome = await asyncio.to_thread(self.repository.load, route.model)
        if isinstance(outcome, Ending):
            raise InvalidRequest(f"model {route.model!r} was not loaded: {outcome.reason}: {outcome.message}")
        return answers.json({})

    async def _work(
        self,
        served: Served,
        work: Callable[[dict[bytes, bytes], bytes, float], Response],
        scope: Scope,
        receive: Receive,
    ) -> Response:
        """In a worker: a large body must not hold up the health endpoints."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, self.max_body_bytes)
        return await self.workers.run(partial(work, headers, body, perf_counter()), served.metrics.waited)

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


def gone() -> Disconnected:
    return Disconnected("the client went away before its request was complete")


def _asks_first(scope: Scope) -> bool:
    """``Expect: 100-continue``: after a refusal, nobody knows whether the body will follow."""
    return any(name == b"expect" for name, _ in scope["headers"])
