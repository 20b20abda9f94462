"""The interface between a listener and the models: a request as received, and its answer as sent."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from edge_runtime.datatypes import Array
from inference_server.identity import Identity
from inference_server.protocol.infer import Inference, RequestSignature
from inference_server.protocol.plain_json import Decode


class RequestCodec(Protocol):
    """A codec that reads one infer request and writes its answer."""

    size: int
    """The size of the request in bytes."""
    is_binary: bool
    """True if its tensors are binary data, which take no time to be read."""
    is_compressed: bool
    """True if it is compressed, and so may be a thousand times as long as ``size`` says."""

    def read(self, signature: RequestSignature) -> Inference:
        """Returns the request. Raises RequestError."""

    def write(self, inference: Inference, identity: Identity, arrays: Sequence[Array]) -> Any:
        """Returns the answer. ``arrays`` belong to ``inference.wanted``, in its order."""


class PlainCodec(NamedTuple):
    """A codec that reads and writes the most common requests to one model by two functions, without an object for each
    request."""

    read: Decode
    outputs: list[str]
    """The names of the outputs that every such request gets, in order; the first is the model's first."""
    write: Callable[[list[Array]], bytes]
