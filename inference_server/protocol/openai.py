"""The interface of OpenAI: requests for chats and completions, and their answers, whole and as events. Pure.

A field that this server does not know is ignored, as clients send many; one that it knows and cannot obey is refused.
"""

import re
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any

import msgspec

from edge_runtime.datatypes import Array
from edgemodel.error_words import in_words
from inference_server.errors import Failure, InvalidRequest
from inference_server.protocol.tensors import Buffer

MAX_STOPS = 16
MAX_STOP_LENGTH = 1000
MAX_TEXTS = 2048
"""The largest number of texts in a request for embeddings."""
DONE = b"data: [DONE]\n\n"
FINISH_REASONS = {"stop": "stop", "length": "length", "time": "length", "cancelled": "length"}
"""The reason that a client is told, by the one that is counted."""

_encode = msgspec.json.Encoder().encode
_FIELD = re.compile(r"\$\.(\w+)")


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Format(msgspec.Struct):
    type: str = "text"


class _Request(msgspec.Struct):
    """The fields that chats and completions have in common."""

    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None
    function_call: dict[str, Any] | None = None


class _Chat(_Request):
    messages: list[_Message] | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    response_format: _Format | None = None
    modalities: list[str] | None = None
    audio: Any = None


class _Completion(_Request):
    prompt: str | list[str | int | list[int]] | None = None
    logprobs: int | None = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None


class _Embedding(msgspec.Struct):
    model: str | None = None
    input: str | list[str | int | list[int]] | None = None
    encoding_format: str | None = None
    dimensions: int | None = None


_decode_embedding = msgspec.json.Decoder(_Embedding).decode
_decode_chat = msgspec.json.Decoder(_Chat).decode
_decode_completion = msgspec.json.Decoder(_Completion).decode


@dataclass(frozen=True)
class Choices:
    """The settings by which an answer is chosen and sent; None where the request leaves it to the server."""

    model: str | None
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int | None
    stops: tuple[str, ...]
    stream: bool
    include_usage: bool
    """True if the events of a stream end with one that counts the tokens."""


@dataclass(frozen=True)
class ChatRequest(Choices):
    """A conversation to go on with."""

    messages: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class CompletionRequest(Choices):
    """A text, or its tokens, to continue."""

    prompt: str | list[int]


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts, or their tokens, of which vectors are made."""

    model: str | None
    texts: tuple[str | list[int], ...]
    base64: bool
    """True if the vectors are wanted as base64 of float32, little endian."""


def decode_embedding(body: Buffer) -> EmbeddingRequest:
    """Returns the request. Raises InvalidRequest."""
    request: _Embedding = _decoded(_decode_embedding, body)
    given = request.input
    if not given:
        raise InvalidRequest("input is missing or empty, want a text or a list of texts", "input")
    texts: list[str | list[int]] = []
    if isinstance(given, str):
        texts = [given]
    elif all(isinstance(one, int) for one in given):
        texts = [[one for one in given if isinstance(one, int)]]
    else:
        texts = [one for one in given if not isinstance(one, int)]
        if len(texts) < len(given):
            raise InvalidRequest("input has both tokens and texts", "input")
    if len(texts) > MAX_TEXTS:
        raise InvalidRequest(f"input has {len(texts)} texts, limit {MAX_TEXTS}", "input")
    if request.encoding_format not in (None, "float", "base64"):
        raise InvalidRequest(f"encoding_format is {request.encoding_format!r}, want float or base64", "encoding_format")
    _refuse("dimensions", request.dimensions, "vectors are not shortened")
    return EmbeddingRequest(request.model, tuple(texts), request.encoding_format == "base64")


def embeddings(model: str, vectors: Array, tokens: int, *, base64: bool) -> bytes:
    """Returns the answer with ``vectors``, float32 (texts, size)."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": b64encode(vector.astype("<f4").tobytes()).decode() if base64 else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": model, "usage": usage})


def decode_chat(body: Buffer) -> ChatRequest:
    """Returns the request. Raises InvalidRequest."""
    request: _Chat = _decoded(_decode_chat, body)
    if not request.messages:
        raise InvalidRequest('messages is missing or empty, want [{"role": "user", "content": "…"}]', "messages")
    _refuse("logprobs", request.logprobs, "scores are not told")
    if request.tool_choice != "none":
        _refuse("tools", request.tools, "this server calls no tools")
        _refuse("functions", request.functions, "this server calls no functions")
    form = request.response_format
    if form is not None and form.type != "text":
        raise InvalidRequest(f"response_format is {form.type!r}, this server answers text", "response_format")
    if request.modalities not in (None, ["text"]):
        raise InvalidRequest(f"modalities is {request.modalities}, this server answers text", "modalities")
    _refuse("audio", request.audio, "this server answers text")
    limit = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    name = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
    messages = tuple(_message(number, message) for number, message in enumerate(request.messages))
    return ChatRequest(**_choices(request, limit, name), messages=messages)


def decode_completion(body: Buffer) -> CompletionRequest:
    """Returns the request. Raises InvalidRequest."""
    request: _Completion = _decoded(_decode_completion, body)
    _refuse("logprobs", request.logprobs is not None, "scores are not told")
    _refuse("echo", request.echo, "the prompt is not repeated")
    _refuse("suffix", request.suffix, "texts are continued at their end")
    if request.best_of not in (None, 1):
        raise InvalidRequest(f"best_of is {request.best_of}, one answer is generated", "best_of")
    choices = _choices(request, request.max_tokens, "max_tokens")
    return CompletionRequest(**choices, prompt=_prompt(request.prompt))


def _prompt(given: str | Sequence[str | int | list[int]] | None) -> str | list[int]:
    """Returns the text or the tokens, which may also be the only ones of a list."""
    if given is None:
        raise InvalidRequest("prompt is missing", "prompt")
    if isinstance(given, str):
        return given
    tokens = [one for one in given if isinstance(one, int)]
    if len(tokens) == len(given):
        return tokens
    if len(given) != 1 or isinstance(given[0], int):
        raise InvalidRequest(f"prompt has {len(given)} texts, send one a request", "prompt")
    return given[0]


def _decoded(decode: Any, body: Buffer) -> Any:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        words = in_words(error)
        place = _FIELD.search(words)
        raise InvalidRequest(words, place and place[1]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {in_words(error)}") from error


def _choices(request: _Request, limit: int | None, limit_name: str) -> dict[str, Any]:
    if request.n not in (None, 1):
        raise InvalidRequest(f"n is {request.n}, one answer is generated", "n")
    _refuse("presence_penalty", request.presence_penalty, "repeated words are not punished")
    _refuse("frequency_penalty", request.frequency_penalty, "repeated words are not punished")
    _refuse("logit_bias", request.logit_bias, "scores are not changed")
    temperature = 1.0 if request.temperature is None else request.temperature
    top_p = 1.0 if request.top_p is None else request.top_p
    if not 0 <= temperature <= 2:
        raise InvalidRequest(f"temperature is {temperature:g}, want 0 to 2", "temperature")
    if not 0 < top_p <= 1:
        raise InvalidRequest(f"top_p is {top_p:g}, want more than 0, at most 1", "top_p")
    if limit is not None and limit < 1:
        raise InvalidRequest(f"{limit_name} is {limit}, want at least 1", limit_name)
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if len(stops) > MAX_STOPS:
        raise InvalidRequest(f"stop has {len(stops)} texts, limit {MAX_STOPS}", "stop")
    if any(not 0 < len(stop) <= MAX_STOP_LENGTH for stop in stops):
        raise InvalidRequest(f"a text of stop is empty, or longer than {MAX_STOP_LENGTH} characters", "stop")
    options = request.stream_options
    return {
        "model": request.model,
        "max_tokens": limit,
        "temperature": temperature,
        "top_p": top_p,
        "seed": request.seed,
        "stops": tuple(stops),
        "stream": bool(request.stream),
        "include_usage": options is not None and bool(options.include_usage),
    }


def _refuse(name: str, value: Any, why: str) -> None:
    """Raises InvalidRequest for a value that is neither absent nor empty."""
    if value:
        raise InvalidRequest(f"{name} is not supported: {why}", name)


def _message(number: int, message: _Message) -> dict[str, str]:
    place = f"messages[{number}]"
    if message.tool_calls or message.function_call:
        raise InvalidRequest(f"{place} calls a tool, this server calls none", "messages")
    content = message.content
    if isinstance(content, list):
        for part in content:
            if part.type != "text" or part.text is None:
                raise InvalidRequest(f"{place} has a part of type {part.type!r}, this model reads text", "messages")
        content = "\n".join(part.text or "" for part in content)
    if content is None:
        raise InvalidRequest(f"{place} has no content", "messages")
    named = {} if message.name is None else {"name": message.name}
    return {"role": message.role, "content": content, **named}


@dataclass(frozen=True)
class OpenAiAnswer:
    """The answer to one request, in the form of its kind."""

    chat: bool
    model: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time()))

    def whole(self, text: str, reason: str, prompt_tokens: int, new_tokens: int) -> bytes:
        """Returns the body of an answer that is sent at once."""
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": FINISH_REASONS[reason], "logprobs": None}
        return _encode(
            self._head("chat.completion") | {"choices": [choice], "usage": _usage(prompt_tokens, new_tokens)}
        )

    def first(self) -> bytes:
        """Returns the event with which a stream begins; nothing for completions."""
        if not self.chat:
            return b""
        return self._event({"delta": {"role": "assistant", "content": ""}}, None)

    def piece(self) -> tuple[bytes, bytes]:
        """Returns what stands before and behind the JSON text in the event of a piece: all but the text is the same."""
        mark = "\0"
        event = self._event({"delta": {"content": mark}} if self.chat else {"text": mark}, None)
        before, _, behind = event.partition(_encode(mark))
        return before, behind

    def last(self, reason: str) -> bytes:
        """Returns the event that tells why the answer ends."""
        return self._event({"delta": {}} if self.chat else {"text": ""}, FINISH_REASONS[reason])

    def usage(self, prompt_tokens: int, new_tokens: int) -> bytes:
        """Returns the event that counts the tokens."""
        body = self._head("chat.completion.chunk") | {"choices": [], "usage": _usage(prompt_tokens, new_tokens)}
        return b"data: %s\n\n" % _encode(body)

    def _event(self, said: Mapping[str, Any], reason: str | None) -> bytes:
        choice = {"index": 0, **said, "finish_reason": reason, "logprobs": None}
        return b"data: %s\n\n" % _encode(self._head("chat.completion.chunk") | {"choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        prefix, kind = ("chatcmpl", kind) if self.chat else ("cmpl", "text_completion")
        return {"id": f"{prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}


def _usage(prompt_tokens: int, new_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": new_tokens,
        "total_tokens": prompt_tokens + new_tokens,
    }


def json_text(text: str) -> bytes:
    """Returns ``text`` as JSON."""
    return _encode(text)


def models(names: Sequence[str], created: int) -> bytes:
    """Returns the list of models."""
    return _encode({"object": "list", "data": [_model(name, created) for name in names]})


def model(name: str, created: int) -> bytes:
    """Returns the description of one model."""
    return _encode(_model(name, created))


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "edgemodel"}


_TYPES = {
    401: ("authentication_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


def failure(failure: Failure) -> bytes:
    """Returns an error in OpenAI's form."""
    usual = ("invalid_request_error" if failure.status < 500 else "server_error", None)
    kind, code = _TYPES.get(failure.status, usual)
    return _encode({"error": {"message": failure.message, "type": kind, "param": failure.parameter, "code": code}})


def failure_event(error: Failure) -> bytes:
    """Returns the event of an error that ends a stream."""
    return b"data: %s\n\n" % failure(error)
