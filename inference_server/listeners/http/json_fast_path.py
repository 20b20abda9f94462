"""The JSON fast path: the most common requests, read and written by two functions made for one model.

They give the same answers as ``codec`` without its intermediate steps, which take as long as a small model's run.
``InferenceService.infer_plain`` runs the model between them.
"""

from typing import NamedTuple

import msgspec

from edge_runtime.datatypes import Array
from inference_server.identity import Identity
from inference_server.listeners.http.routes import infer_paths
from inference_server.models.served_model import ServedModel
from inference_server.protocol import infer
from inference_server.protocol.infer import RequestSignature
from inference_server.protocol.request_codec import PlainCodec
from inference_server.service import InferenceService, InferPlain

_encode = msgspec.json.Encoder().encode


class FastModel(NamedTuple):
    """A model on the fast path."""

    served: ServedModel
    infer_plain: InferPlain | None
    """The function that answers plain requests; None if all requests of the model have to be submitted."""


def fast_models(service: InferenceService) -> dict[str, FastModel]:
    """Returns the models that serve now, by the decoded paths of their infer requests."""
    found: dict[str, FastModel] = {}
    for served in service.models.serving:
        codec = json_codec(served.signature, served.identity)
        model = FastModel(served, None if codec is None else service.infer_plain(served, codec))
        found |= dict.fromkeys(infer_paths(served.identity.model, served.identity.revision), model)
    return found


def json_codec(signature: RequestSignature, identity: Identity) -> PlainCodec | None:
    """Returns the codec; None for a model without plain requests."""
    read, wanted = signature.read_plain, signature.all_as_json
    if read is None or wanted is None:
        return None
    start = infer.head_of_reply(identity.model, identity.revision) + b'"outputs":['
    first, *others = [(output.tensor.name, output.tensor.datatype) for output in wanted]
    head_of_output = infer.head_of_output

    def write(arrays: list[Array]) -> bytes:
        array = arrays[0]
        reply = b'%s%s"data":%s}' % (start, head_of_output(*first, array.shape), _encode(array.ravel().tolist()))
        for (name, datatype), array in zip(others, arrays[1:], strict=True):
            head = head_of_output(name, datatype, array.shape)
            reply += b',%s"data":%s}' % (head, _encode(array.ravel().tolist()))
        return reply + b"]}"

    return PlainCodec(read, wanted.names, write)
