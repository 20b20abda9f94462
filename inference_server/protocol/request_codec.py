"""The seam between a listener and the models: a request as it came, and its answer as its client reads it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from edge_runtime.datatypes import Array
from inference_server.identity import Identity
from inference_server.protocol.infer import Inference, RequestSignature
from inference_server.protocol.plain_json import Decode


class RequestCodec(Protocol):
    """Reads one infer request and writes its answer."""

    size: int
    """Bytes of the request."""
    is_binary: bool
    """Its tensors are binary data, which takes no time to be read."""
    is_compressed: bool
    """It may be a thousand times as long as ``size`` says."""

    def read(self, signature: RequestSignature) -> Inference:
        """Raises RequestError."""

    def write(self, inference: Inference, identity: Identity, arrays: Sequence[Array]) -> Any:
        """Returns the answer. ``arrays`` belong to ``inference.wanted``, in its order."""


class PlainCodec(NamedTuple):
    """Reads and writes the commonest requests to one model by two functions, without an object for each request."""

    read: Decode
    outputs: list[str]
    """The names of the outputs that every such request gets, in order; the first is the model's first."""
    write: Callable[[list[Array]], bytes]
