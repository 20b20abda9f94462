"""One infer request through any listener, on which the protocol table of ``test_listeners`` runs."""

import json
import queue
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from edge_runtime.datatypes import DATATYPES
from tests.unit.inference_server.processes import DEADLINE_SECONDS, RunningServer


@dataclass(frozen=True)
class Input:
    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any]
    """The data, flat and in row-major order; it may not match."""


@dataclass(frozen=True)
class Request:
    inputs: Sequence[Input]
    model: str = "tiny"
    version: str | None = None
    id: str | None = None
    outputs: Sequence[str] = ()
    """The names of the outputs; none: all."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    code: str
    """The code: ``OK``, or the canonical code of the error."""
    message: str = ""
    model: str = ""
    version: str = ""
    id: str | None = None
    outputs: Mapping[str, tuple[str, Sequence[int], bytes]] = field(default_factory=dict)
    """The outputs as (datatype, shape, little-endian bytes) by name."""


class Client(Protocol):
    def ask(self, server: RunningServer, request: Request) -> Reply: ...


def _bytes(datatype: str, data: Sequence[Any]) -> bytes:
    return np.array(data, DATATYPES[datatype].numpy).tobytes()


def _document(request: Request, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """Returns (JSON, binary data) of a request over HTTP."""
    inputs: list[dict[str, Any]] = []
    blobs = []
    for given in request.inputs:
        tensor = {"name": given.name, "datatype": given.datatype, "shape": list(given.shape)}
        if binary:
            blobs.append(_bytes(given.datatype, given.data))
            inputs.append({**tensor, "parameters": {"binary_data_size": len(blobs[-1])}})
        else:
            inputs.append({**tensor, "data": list(given.data)})
    document: dict[str, Any] = {"inputs": inputs}
    if request.id is not None:
        document["id"] = request.id
    if request.outputs:
        document["outputs"] = [{"name": name} for name in request.outputs]
    parameters = dict(request.parameters) | ({"binary_data_output": True} if binary else {})
    if parameters:
        document["parameters"] = parameters
    return document, b"".join(blobs)


def _reply(document: Any, blobs: bytes = b"") -> Reply:
    outputs = {}
    at = 0
    for output in document["outputs"]:
        if "data" in output:
            data = _bytes(output["datatype"], output["data"])
        else:
            size = output["parameters"]["binary_data_size"]
            data, at = blobs[at : at + size], at + size
        outputs[output["name"]] = (output["datatype"], output["shape"], data)
    assert at == len(blobs)
    return Reply("OK", "", document["model_name"], document["model_version"], document.get("id"), outputs)


@dataclass(frozen=True)
class HttpClient:
    binary: bool

    def ask(self, server: RunningServer, request: Request) -> Reply:
        document, blobs = _document(request, binary=self.binary)
        head = json.dumps(document).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))} if self.binary else {}
        version = "" if request.version is None else f"/versions/{request.version}"
        answer = server.request("POST", f"/v2/models/{request.model}{version}/infer", head + blobs, headers)
        if answer.status != 200:
            assert answer.headers["content-type"] == "application/json"
            return Reply(f"HTTP {answer.status}", answer.error)
        assert answer.headers["content-type"] == f"application/{'octet-stream' if self.binary else 'json'}"
        split = int(answer.headers.get("inference-header-content-length", len(answer.body)))
        return _reply(json.loads(answer.body[:split]), answer.body[split:])


class LineClient:
    def ask(self, server: RunningServer, request: Request) -> Reply:
        document, _ = _document(request, binary=False)
        line = json.dumps({"model": request.model, "version": request.version, "request": document}).encode()
        address = ("127.0.0.1", server.log[0]["line_port"])
        with socket.create_connection(address, timeout=DEADLINE_SECONDS) as connection:
            connection.sendall(line + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
        return Reply(answer["code"], answer["error"]) if "error" in answer else _reply(answer)


@dataclass(frozen=True)
class GrpcClient:
    raw: bool
    stream: bool = False

    def ask(self, server: RunningServer, request: Request) -> Reply:
        message = self._message(request)
        with grpc.insecure_channel(f"127.0.0.1:{server.log[0]['grpc_port']}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            if self.stream:
                return self._streamed(stub, message)
            try:
                return self._reply(stub.ModelInfer(message, timeout=DEADLINE_SECONDS))
            except grpc.RpcError as error:
                return Reply(error.code().name, error.details())

    def _streamed(self, stub: Any, message: Any) -> Reply:
        """Returns the answer of a stream; an error is an answer, whose code is lost, and the stream goes on."""
        asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        asked.put(message)
        answers: Iterator[Any] = stub.ModelStreamInfer(iter(asked.get, None), timeout=DEADLINE_SECONDS)
        first = next(answers)
        asked.put(None)
        assert not list(answers)
        return Reply("", first.error_message) if first.error_message else self._reply(first.infer_response)

    def _message(self, request: Request) -> Any:
        message = service_pb2.ModelInferRequest(
            model_name=request.model, model_version=request.version or "", id=request.id or ""
        )
        for given in request.inputs:
            tensor = message.inputs.add(name=given.name, datatype=given.datatype, shape=given.shape)
            if self.raw:
                message.raw_input_contents.append(_bytes(given.datatype, given.data))
            elif given.data:
                fields = {"FP32": "fp32_contents", "FP64": "fp64_contents", "INT64": "int64_contents"}
                getattr(tensor.contents, fields[given.datatype]).extend(given.data)
        for name in request.outputs:
            message.outputs.add(name=name)
        for name, value in request.parameters.items():
            kind = "string_param" if isinstance(value, str) else "int64_param"
            setattr(message.parameters[name], kind, value)
        return message

    def _reply(self, message: Any) -> Reply:
        outputs = {}
        assert len(message.raw_output_contents) == (len(message.outputs) if self.raw else 0)
        for position, output in enumerate(message.outputs):
            if self.raw:
                data = bytes(message.raw_output_contents[position])
            else:
                ((_, values),) = output.contents.ListFields() or ((None, ()),)
                data = _bytes(output.datatype, list(values))
            outputs[output.name] = (output.datatype, list(output.shape), data)
        return Reply("OK", "", message.model_name, message.model_version, message.id or None, outputs)
