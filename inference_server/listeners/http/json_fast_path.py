"""The JSON fast path through a model: a plain JSON request is read, run and answered in one function, where it arrives.

It does what ``served``, ``exchange`` and ``protocol`` do for every request, and gives the same answers; what is left
out are the steps between them, which take as long as a small model's run.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec

from edge_runtime.backend import LoadedModel, RefusedInputs
from edge_runtime.datatypes import Array
from inference_server.errors import UnfitRequest
from inference_server.observability.metrics import Identity, ModelMetrics
from inference_server.protocol import infer
from inference_server.protocol.infer import RequestSignature
from inference_server.protocol.tensors import Buffer

Answer = Callable[[Buffer, float], bytes | None]
"""The body of a request and ``perf_counter()`` when it began -> the body of its answer, which is counted.

None for a request that is not plain, or that has an id, by which its prediction is remembered."""

_encode = msgspec.json.Encoder().encode


def json_fast_path(
    model: LoadedModel,
    signature: RequestSignature,
    identity: Identity,
    metrics: ModelMetrics,
    update_cost: Callable[[float, int], None],
    note: Callable[[Array, float], None],
) -> Answer | None:
    """Returns None for a model without plain requests. ``update_cost`` gets the seconds and bytes of each, ``note`` its
    first output.

    What it returns raises what the runtime raises. Only for the event loop.
    """
    read, wanted = signature.read_plain, signature.all_as_json
    if read is None or wanted is None:
        return None
    names, run, inline = wanted.names, model.run_usual, metrics.inline
    observe = inline.duration.observe
    start = infer.head_of_reply(identity.model, identity.revision) + b'"outputs":['
    first, *others = [(output.tensor.name, output.tensor.datatype) for output in wanted]
    head_of_output = infer.head_of_output

    def written(arrays: list[Array]) -> bytes:
        array = arrays[0]
        reply = b'%s%s"data":%s}' % (start, head_of_output(*first, array.shape), _encode(array.ravel().tolist()))
        for (name, datatype), array in zip(others, arrays[1:], strict=True):
            head = head_of_output(name, datatype, array.shape)
            reply += b',%s"data":%s}' % (head, _encode(array.ravel().tolist()))
        return reply + b"]}"

    def answer(body: Buffer, began: float) -> bytes | None:
        received = perf_counter()
        plain: Any = read(body)
        if plain is None or plain[0] is not None:
            return None
        decoded = perf_counter()
        try:
            arrays = run(plain[1], names)
        except RefusedInputs as error:
            raise UnfitRequest(str(error)) from error
        ran = perf_counter()
        reply = written(arrays)
        note(arrays[0], ran)
        now = perf_counter()
        inline.decoding += decoded - received
        inline.running += ran - decoded
        inline.encoding += now - ran
        inline.last = now
        observe(now - began)
        update_cost(now - received, len(body))
        return reply

    return answer
