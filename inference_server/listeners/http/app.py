"""The ASGI application, which turns a request into its answer, and every exception into ``{"error": …}``."""

import asyncio
from contextlib import aclosing
from functools import partial
from hmac import compare_digest
from time import perf_counter, time
from typing import assert_never

from inference_server.errors import KeyRefused, MethodNotAllowed, PathNotFound
from inference_server.listeners.http import model_repository_api, openapi, responses, routes
from inference_server.listeners.http.asgi import Receive, Scope, Send
from inference_server.listeners.http.codec import HttpRequestCodec, expanded
from inference_server.listeners.http.json_fast_path import FastModel, fast_models
from inference_server.listeners.http.request_body import read_body
from inference_server.listeners.http.responses import OK, Response
from inference_server.listeners.http.routes import COUNTED, OF_OPENAI, OPEN, Endpoint, Route
from inference_server.listeners.http.text_api import EventStream, TextApi
from inference_server.models import feedback
from inference_server.models.feedback import Feedback
from inference_server.observability.metrics import CONTENT_TYPE
from inference_server.protocol import openai
from inference_server.service import InferenceService

MAX_CONTROL_BYTES = 65536
"""The largest body of a load, unload or index request, in bytes."""


class App:
    """The application; uvicorn calls it for every request that the fast path does not take."""

    def __init__(self, service: InferenceService, *, max_body_bytes: int) -> None:
        self._began = int(time())
        self.draining = False
        """True if every answer tells its client to close the connection."""
        self.service = service
        self.max_body_bytes = max_body_bytes
        self._text = TextApi(service, max_body_bytes)
        self.fast_models: dict[str, FastModel] = {}
        """The models on the fast path, by the paths of their infer requests; replaced, never changed."""
        service.models.observe(self._find_fast_models)

    def _find_fast_models(self) -> None:
        # The fast path looks at no header, so it is not for clients who have to show a key.
        self.fast_models = fast_models(self.service) if self.service.api_keys is None else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        route = routes.find(scope["path"])
        try:
            response = await self._answer(route, scope, receive, started)
        except Exception as error:
            failure = self.service.failure(error)
            of_openai = route is not None and route.endpoint in OF_OPENAI
            response = responses.of_failure_in_openai(failure) if of_openai else responses.of_failure(failure)
        last = self.draining or (response.status >= 400 and _asks_first(scope))
        if isinstance(response, EventStream):
            await self._send_events(response, last, send)
        else:
            await self._send(response, last, send)

    def error_response(self, error: Exception) -> Response:
        """Returns the response to a request that ended with ``error``."""
        return responses.of_failure(self.service.failure(error))

    async def _answer(
        self, route: Route | None, scope: Scope, receive: Receive, started: float
    ) -> Response | EventStream:
        path, method = scope["path"], scope["method"]
        if route is None:
            raise PathNotFound(f"there is no {path}, /openapi.json lists what there is; infer: /v2/models/NAME/infer")
        if method not in route.allowed:
            error = MethodNotAllowed(method, path, ", ".join(route.allowed))
            if route.endpoint in COUNTED:
                self.service.reject(route.model, error, started)
            raise error
        if self.service.api_keys is not None and route.endpoint not in OPEN:
            try:
                self.service.api_keys.check(dict(scope["headers"]).get(b"authorization", b""))
            except KeyRefused as error:
                if route.endpoint in COUNTED:
                    self.service.reject(route.model, error, started)
                raise
        return await self._of_endpoint(route, scope, receive, started)

    async def _of_endpoint(
        self, route: Route, scope: Scope, receive: Receive, started: float
    ) -> Response | EventStream:
        service, model, version = self.service, route.model, route.version
        match route.endpoint:
            case Endpoint.INFER:
                return await self._infer(route, scope, receive, started)
            case Endpoint.FEEDBACK:
                return await self._feedback(route, scope, receive)
            case Endpoint.LIVE:
                return responses.json({"live": True})
            case Endpoint.READY:
                service.check_ready()
                return responses.json({"ready": True})
            case Endpoint.OPENAPI:
                return responses.json(openapi.document(needs_key=service.api_keys is not None))
            case Endpoint.METRICS:
                return Response(OK, service.scrape(), ((b"content-type", CONTENT_TYPE),))
            case Endpoint.SERVER:
                return responses.json(service.metadata())
            case Endpoint.MODELS:
                return responses.json({"models": [one["name"] for one in service.index(only_ready=False)]})
            case Endpoint.INDEX:
                body = await read_body(dict(scope["headers"]), receive, MAX_CONTROL_BYTES)
                return responses.json(service.index(only_ready=model_repository_api.decode_index(body).ready))
            case Endpoint.LOAD | Endpoint.UNLOAD:
                model_repository_api.decode_load(await read_body(dict(scope["headers"]), receive, MAX_CONTROL_BYTES))
                await (service.load if route.endpoint is Endpoint.LOAD else service.unload)(model)
                return responses.json({})
            case Endpoint.ALL_STATISTICS:
                return responses.json(service.statistics("", None))
            case Endpoint.STATISTICS:
                return responses.json(service.statistics(model, version))
            case Endpoint.MODEL:
                return responses.json(service.find(model, version).metadata())
            case Endpoint.MODEL_READY:
                service.find(model, version)
                return responses.json({"name": model, "ready": True})
            case Endpoint.CONFIG:
                return responses.json(service.find(model, version).config())
            case Endpoint.EXAMPLE:
                return responses.json(service.find(model, version).example())
            case Endpoint.GENERATE | Endpoint.GENERATE_STREAM | Endpoint.CHAT | Endpoint.COMPLETION:
                return await self._text.answer(route, scope, receive, started)
            case Endpoint.EMBEDDING:
                return await self._text.embed(scope, receive, started)
            case Endpoint.OPENAI_MODELS:
                return Response(OK, openai.models([one.identity.model for one in service.models.serving], self._began))
            case Endpoint.OPENAI_MODEL:
                return Response(OK, openai.model(service.find(model, None).identity.model, self._began))
            case Endpoint.REPLAY:
                served = service.find(model, version)
                self._check_replay_token(scope)
                data = await asyncio.to_thread(served.recent_encoded)
                return Response(OK, data, ((b"content-type", b"application/octet-stream"),))
            case endpoint:
                assert_never(endpoint)

    async def _infer(self, route: Route, scope: Scope, receive: Receive, started: float) -> Response:
        async def receive_codec() -> HttpRequestCodec:
            headers: dict[bytes, bytes] = dict(scope["headers"])
            return HttpRequestCodec(
                headers, await read_body(headers, receive, self.max_body_bytes), self.max_body_bytes
            )

        response: Response = await self.service.infer(
            route.model, route.version, receive_codec, started, partial(_left, receive)
        )
        return response

    async def _feedback(self, route: Route, scope: Scope, receive: Receive) -> Response:
        served = self.service.find(route.model, route.version)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, self.max_body_bytes)

        def decode() -> Feedback:
            return feedback.decode(expanded(body, headers, self.max_body_bytes))

        return responses.json(await self.service.feedback(served, decode, partial(_left, receive)))

    def _check_replay_token(self, scope: Scope) -> None:
        """Raises PathNotFound for a client without the token, as if the endpoint did not exist."""
        token, shown = self.service.replay_token, dict(scope["headers"]).get(b"authorization", b"")
        if token is None or not compare_digest(shown, f"Bearer {token}".encode()):
            raise PathNotFound(f"there is no {scope['path']}")

    async def _send_events(self, response: EventStream, last: bool, send: Send) -> None:
        headers = [*response.headers, *([(b"connection", b"close")] if last else [])]
        async with aclosing(response.events) as events:
            await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, response: Response, last: bool, send: Send) -> None:
        headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
        if last:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
        await send({"type": "http.response.body", "body": response.body})


async def _left(receive: Receive) -> None:
    """Returns when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _asks_first(scope: Scope) -> bool:
    """Returns whether the request has ``Expect: 100-continue``: after a refusal, nobody knows whether the body will
    follow."""
    return any(name == b"expect" for name, _ in scope["headers"])
