"""The endpoints that generate text, in OpenAI's form and in Triton's: whole answers, and streams of events."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Protocol

import msgspec

from inference_server.errors import Failure, client_disconnected
from inference_server.generate.engine import GenerationRequest
from inference_server.generate.model import TextModel
from inference_server.generate.stream import TextStream
from inference_server.identity import Identity
from inference_server.listeners.http.asgi import Receive, Scope
from inference_server.listeners.http.codec import expanded
from inference_server.listeners.http.request_body import read_body
from inference_server.listeners.http.responses import OK, Response
from inference_server.listeners.http.routes import Endpoint, Route
from inference_server.protocol import generate_extension, openai
from inference_server.protocol.infer import Headers
from inference_server.protocol.openai import ChatRequest, CompletionRequest
from inference_server.service import InferenceService

EVENT_HEADERS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back until it has many
)


class EventStream(msgspec.Struct, frozen=True):
    """A response whose body comes in pieces; whoever takes it closes ``events``."""

    events: AsyncGenerator[bytes, None]
    headers: Headers = EVENT_HEADERS
    status: int = OK


class Writer(Protocol):
    """The form of answers of one kind."""

    def whole(self, text: str, stream: TextStream) -> bytes:
        """Returns the body of an answer that is sent at once."""

    def first(self) -> bytes:
        """Returns what a stream begins with."""

    def piece(self, text: str) -> bytes:
        """Returns the event of a piece of text."""

    def last(self, stream: TextStream) -> bytes:
        """Returns the events at the end of a stream."""

    def failure(self, failure: Failure) -> bytes:
        """Returns the event of an error that ends a stream."""


class OpenAiWriter:
    """Answers in OpenAI's form."""

    def __init__(self, answer: openai.OpenAiAnswer, *, include_usage: bool) -> None:
        self._answer, self._include_usage = answer, include_usage
        self._before, self._behind = answer.piece()

    def whole(self, text: str, stream: TextStream) -> bytes:
        """Returns the body, with the reason of the end and the number of tokens."""
        return self._answer.whole(text, stream.reason, stream.prompt_tokens, stream.new_tokens)

    def first(self) -> bytes:
        """Returns the event with the role, in a chat."""
        return self._answer.first()

    def piece(self, text: str) -> bytes:
        """Returns the event of a piece."""
        return b"%s%s%s" % (self._before, openai.json_text(text), self._behind)

    def last(self, stream: TextStream) -> bytes:
        """Returns the event with the reason, the number of tokens if it is wanted, and ``[DONE]``."""
        usage = self._answer.usage(stream.prompt_tokens, stream.new_tokens) if self._include_usage else b""
        return self._answer.last(stream.reason) + usage + openai.DONE

    def failure(self, failure: Failure) -> bytes:
        """Returns the event, after which no ``[DONE]`` follows."""
        return openai.failure_event(failure)


class TritonWriter:
    """Answers in Triton's form."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def whole(self, text: str, stream: TextStream) -> bytes:
        """Returns the body."""
        return generate_extension.answer(self._identity, text)

    def first(self) -> bytes:
        """Returns nothing."""
        return b""

    def piece(self, text: str) -> bytes:
        """Returns the event of a piece."""
        return generate_extension.event(self._identity, text)

    def last(self, stream: TextStream) -> bytes:
        """Returns nothing: the stream ends."""
        return b""

    def failure(self, failure: Failure) -> bytes:
        """Returns the event."""
        return generate_extension.failure_event(failure)


class TextApi:
    """The endpoints, over the service."""

    def __init__(self, service: InferenceService, max_body_bytes: int) -> None:
        self._service, self._max_body_bytes = service, max_body_bytes

    async def answer(self, route: Route, scope: Scope, receive: Receive, started: float) -> Response | EventStream:
        """Returns the answer to a request to one of ``routes.OF_TEXT``. Raises RequestError, each counted."""
        try:
            headers = dict(scope["headers"])
            body = expanded(await read_body(headers, receive, self._max_body_bytes), headers, self._max_body_bytes)
            chat = route.endpoint is Endpoint.CHAT
            request: ChatRequest | CompletionRequest
            if route.endpoint in (Endpoint.GENERATE, Endpoint.GENERATE_STREAM):
                request = generate_extension.decode(body)
                model, streamed = route.model, route.endpoint is Endpoint.GENERATE_STREAM
            else:
                request = openai.decode_chat(body) if chat else openai.decode_completion(body)
                model, streamed = request.model or self._service.models.first.identity.model, request.stream
        except Exception as error:
            self._service.reject(route.model, error, started)
            raise
        stream = await self._service.generate(model, route.version, partial(_prepared, request, started), started)
        identity = self._service.models.entries[model].identity
        writer: Writer
        if route.model:
            writer = TritonWriter(identity)
        else:
            writer = OpenAiWriter(openai.OpenAiAnswer(chat, identity.model), include_usage=request.include_usage)
        return await self._sent(stream, writer, receive, streamed=streamed)

    async def embed(self, scope: Scope, receive: Receive, started: float) -> Response:
        """Returns the vectors of texts. Raises RequestError, each counted."""
        try:
            headers = dict(scope["headers"])
            body = expanded(await read_body(headers, receive, self._max_body_bytes), headers, self._max_body_bytes)
            request = openai.decode_embedding(body)
        except Exception as error:
            self._service.reject("", error, started)
            raise
        model = request.model or self._service.models.first.identity.model
        made = await self._service.embed(model, request.texts, started)
        return Response(OK, openai.embeddings(model, made.vectors, made.tokens, base64=request.base64))

    async def _sent(
        self, stream: TextStream, writer: Writer, receive: Receive, *, streamed: bool
    ) -> Response | EventStream:
        """Returns the whole answer, or a stream that has its first piece: an error before that has its own status."""
        leaving = asyncio.ensure_future(_left(receive))
        leaving.add_done_callback(lambda task: None if task.cancelled() else stream.cancel())
        texts = stream.texts()
        handed_on = False
        try:
            if streamed:
                first = await anext(texts)
                handed_on = True
                return EventStream(self._events(first, texts, stream, writer, leaving))
            text = "".join([piece async for piece in texts])
            if leaving.done():
                raise client_disconnected()
            return Response(OK, writer.whole(text, stream))
        finally:
            if not handed_on:
                leaving.cancel()
                stream.cancel()

    async def _events(
        self,
        first: str,
        texts: AsyncGenerator[str, None],
        stream: TextStream,
        writer: Writer,
        leaving: "asyncio.Future[None]",
    ) -> AsyncGenerator[bytes, None]:
        try:
            yield writer.first() + (writer.piece(first) if first else b"")
            async for text in texts:
                if text:
                    yield writer.piece(text)
            yield writer.last(stream)
        except Exception as error:
            yield writer.failure(self._service.failure(error))
        finally:
            leaving.cancel()
            stream.cancel()


def _prepared(request: ChatRequest | CompletionRequest, started: float, model: TextModel) -> GenerationRequest:
    """Returns the request for ``model``. Raises InvalidRequest."""
    if isinstance(request, ChatRequest):
        prompt, parameter = model.chat(request.messages), "messages"
    else:
        prompt = model.text(request.prompt) if isinstance(request.prompt, str) else request.prompt
        parameter = "prompt"
    room = model.check(prompt, parameter)
    return GenerationRequest(
        prompt,
        min(request.max_tokens or room, room),
        request.temperature,
        request.top_p,
        request.seed,
        request.stops,
        continues=isinstance(request, CompletionRequest),
        started=started,
    )


async def _left(receive: Receive) -> None:
    """Returns when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
