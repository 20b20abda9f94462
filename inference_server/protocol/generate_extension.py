"""Triton's extension for generation: ``generate`` and ``generate_stream``. Pure."""

from typing import Any

import msgspec

from edgemodel.error_words import in_words
from inference_server.errors import Failure, InvalidRequest
from inference_server.identity import Identity
from inference_server.protocol import openai
from inference_server.protocol.openai import CompletionRequest
from inference_server.protocol.tensors import Buffer

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_NAMES = {"text_input": "prompt", "random_seed": "seed", "stop_words": "stop"}
"""The names of OpenAI's fields by those of this interface, where they differ; the others are the same."""
_GREEDY = {"temperature": 0}
"""The default that differs from OpenAI's: the answer is the most probable one."""


def decode(body: Buffer) -> CompletionRequest:
    """Returns the request, whose settings stand beside ``text_input`` or in ``parameters``. Raises InvalidRequest."""
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f'a request is {{"text_input": "…", "max_tokens": 16}}: {in_words(error)}') from error
    parameters = given.pop("parameters", None)
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidRequest("parameters is no object")
    given = given | (parameters or {})
    if not isinstance(given.get("text_input"), str):
        raise InvalidRequest("text_input is missing, or no text", "text_input")
    for ours in ("model", "stream", "stream_options"):  # the path says these
        given.pop(ours, None)
    return openai.decode_completion(_encode(_GREEDY | {_NAMES.get(name, name): value for name, value in given.items()}))


def answer(identity: Identity, text: str) -> bytes:
    """Returns an answer, or what a stream adds to it."""
    return _encode({"model_name": identity.model, "model_version": identity.revision, "text_output": text})


def event(identity: Identity, text: str) -> bytes:
    """Returns the event with what a stream adds."""
    return b"data: %s\n\n" % answer(identity, text)


def failure_event(failure: Failure) -> bytes:
    """Returns the event of an error that ends a stream."""
    return b"data: %s\n\n" % _encode({"error": failure.message})
