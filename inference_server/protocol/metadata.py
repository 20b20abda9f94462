"""The metadata of a model, its configuration and an example request. Pure."""

from math import prod
from typing import Any

from edge_runtime.datatypes import DATATYPES
from edge_runtime.signature import Signature
from edgemodel.artifact import Tensor
from inference_server.errors import InvalidRequest
from inference_server.identity import Identity

MAX_EXAMPLE_ELEMENTS = 4_000_000


def metadata(identity: Identity, platform: str, signature: Signature) -> dict[str, Any]:
    """Returns the JSON of the model metadata of the protocol; -1 stands for an open dimension."""
    return {
        "name": identity.model,
        "versions": [identity.revision],
        "platform": platform,
        "inputs": [_tensor(tensor) for tensor in (*signature.inputs.values(), *signature.optional.values())],
        "outputs": [_tensor(tensor) for tensor in signature.outputs.values()],
    }


def config(identity: Identity, platform: str, signature: Signature) -> dict[str, Any]:
    """Returns the JSON of the model configuration extension, as far as it applies.

    ``max_batch_size`` stays 0: with another value, shapes here would lack their first dimension.
    """
    return {
        "name": identity.model,
        "platform": platform,
        "backend": platform.partition("_")[0],
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [
            *(_configured(tensor) for tensor in signature.inputs.values()),
            *({**_configured(tensor), "optional": True} for tensor in signature.optional.values()),
        ],
        "output": [_configured(tensor) for tensor in signature.outputs.values()],
    }


def example(signature: Signature) -> dict[str, Any]:
    """Returns the body of a matching infer request of zeros. Raises InvalidRequest if JSON cannot express it."""
    inputs = []
    for tensor in signature.inputs.values():
        datatype = DATATYPES[tensor.datatype]
        shape = [1 if size == -1 else size for size in tensor.shape]
        if datatype.json is None:
            raise InvalidRequest(f"input {tensor.name!r}: {tensor.datatype} has no JSON form, send it as binary data")
        if prod(shape) > MAX_EXAMPLE_ELEMENTS:
            raise InvalidRequest(f"input {tensor.name!r}: an example of shape {shape} would be too long")
        data = [datatype.json()] * prod(shape)
        inputs.append({"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data})
    return {"inputs": inputs}


def _configured(tensor: Tensor) -> dict[str, Any]:
    datatype = {"BYTES": "STRING"}.get(tensor.datatype, tensor.datatype)
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": list(tensor.shape)}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
