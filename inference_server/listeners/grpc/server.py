"""The listener of ``inference.GRPCInferenceService``, health and reflection, which needs the extra ``grpc``.

It is grpcio's synchronous server: a thread waits for each call in progress. Quick calls are answered there; the rest is
done by the same workers as over HTTP, in the same queue, under the same limits.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from edgemodel.error_words import in_words
from inference_server.errors import InvalidRequest, KeyRefused, ModelNotReady, client_disconnected
from inference_server.listeners.grpc import open_inference_pb2 as messages
from inference_server.listeners.grpc.codec import GrpcRequestCodec
from inference_server.models import control
from inference_server.service import InferenceService

SERVICE = "inference.GRPCInferenceService"
MAX_CALLS = 64
"""The largest number of calls in progress, including streams; more are answered RESOURCE_EXHAUSTED."""
MAX_STREAMS = 16
_OPEN = frozenset({"ServerLive", "ServerReady"})
"""The calls that need no key of a client."""
_HEAD_BYTES = 65536
"""The allowance for a message's contents besides its tensors, in bytes."""


class GrpcListener:
    """The gRPC server of a process."""

    def __init__(self, host: str, port: int, *, max_body_bytes: int) -> None:
        """Opens the port: 0 is any free one, an empty ``host`` every address. Raises OSError."""
        self._streams = BoundedSemaphore(MAX_STREAMS)
        self._service: InferenceService
        self._loop: asyncio.AbstractEventLoop
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="grpc"),
            maximum_concurrent_rpcs=MAX_CALLS,
            options=(
                ("grpc.max_receive_message_length", max_body_bytes + _HEAD_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                # A client that is gone, or silent for long, must not occupy one of the calls.
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.max_connection_idle_ms", 300_000),
                ("grpc.max_connection_age_ms", 3_600_000),
                ("grpc.max_connection_age_grace_ms", 60_000),
            ),
        )
        self._health = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(1, "grpc-health")
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        address = f"[{host}]" if ":" in host else host or "[::]"
        try:
            self.port = int(self._server.add_insecure_port(f"{address}:{port}"))
        except RuntimeError as error:  # whose text names an address, and how to debug grpcio
            raise OSError("another program has that port, or this machine has no such address") from error

    async def start(self, service: InferenceService) -> None:
        """Begins to answer, and reports the health of the models from now on."""
        self._service, self._loop = service, asyncio.get_running_loop()
        service.models.observe(self._tell_health)
        self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Reports NOT_SERVING, and returns when the calls in progress are answered, or after ``grace_seconds``."""
        await asyncio.to_thread(self._stop, grace_seconds)

    def log_fields(self) -> Mapping[str, Any]:
        """Returns the port."""
        return {"grpc_port": self.port}

    def _tell_health(self) -> None:
        """Sets the health of the server and of its service."""
        status = health_pb2.HealthCheckResponse
        for service in ("", SERVICE):
            self._health.set(service, status.SERVING if self._service.ready else status.NOT_SERVING)

    def _stop(self, grace_seconds: float) -> None:
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()

    def _handlers(self) -> Any:
        unary = {
            "ServerLive": (messages.ServerLiveRequest, self._live),
            "ServerReady": (messages.ServerReadyRequest, self._ready),
            "ServerMetadata": (messages.ServerMetadataRequest, self._server_metadata),
            "ModelReady": (messages.ModelReadyRequest, self._model_ready),
            "ModelMetadata": (messages.ModelMetadataRequest, self._model_metadata),
            "ModelConfig": (messages.ModelConfigRequest, self._model_config),
            "ModelStatistics": (messages.ModelStatisticsRequest, self._model_statistics),
            "RepositoryIndex": (messages.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": (messages.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": (messages.RepositoryModelUnloadRequest, self._unload),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._unary(request, answer, open_to_all=name in _OPEN), None, _to_bytes
            )
            for name, (request, answer) in unary.items()
        }
        handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer, None, _to_bytes)
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream, None, _to_bytes)
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _unary(self, kind: Any, answer: Callable[[Any], Any], *, open_to_all: bool) -> Callable[[bytes, Any], Any]:
        def handle(data: bytes, context: Any) -> Any:
            try:
                if not open_to_all:
                    self._check_key(context)
                return answer(_parse(kind, data))
            except Exception as error:
                self._abort(context, error)

        return handle

    def _abort(self, context: Any, error: Exception) -> None:
        failure = self._service.failure(error)
        if failure.retry_after_seconds is not None:
            context.set_trailing_metadata((("retry-after", str(failure.retry_after_seconds)),))
        context.abort(grpc.StatusCode[failure.code], failure.message)

    def _check_key(self, context: Any) -> None:
        """Raises KeyRefused for a client that has to show a key and does not."""
        if self._service.api_keys is not None:
            shown = dict(context.invocation_metadata()).get("authorization", "")
            self._service.api_keys.check(shown if isinstance(shown, bytes) else shown.encode())

    def _live(self, _request: Any) -> Any:
        return messages.ServerLiveResponse(live=True)

    def _ready(self, _request: Any) -> Any:
        return messages.ServerReadyResponse(ready=self._service.ready)

    def _server_metadata(self, _request: Any) -> Any:
        return ParseDict(self._service.metadata(), messages.ServerMetadataResponse())

    def _model_ready(self, request: Any) -> Any:
        try:
            self._find(request)
        except ModelNotReady:
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)

    def _model_metadata(self, request: Any) -> Any:
        return ParseDict(self._find(request).metadata(), messages.ModelMetadataResponse())

    def _model_config(self, request: Any) -> Any:
        return ParseDict({"config": self._find(request).config()}, messages.ModelConfigResponse())

    def _model_statistics(self, request: Any) -> Any:
        """Returns the statistics of one model; an empty name stands for all."""
        found = self._service.statistics(request.name, request.version or None)
        return ParseDict(found, messages.ModelStatisticsResponse())

    def _index(self, request: Any) -> Any:
        models = self._service.index(only_ready=request.ready)
        return ParseDict({"models": models}, messages.RepositoryIndexResponse())

    def _load(self, request: Any) -> Any:
        control.check_parameters(request.parameters)
        self._wait(self._service.load(request.model_name))
        return messages.RepositoryModelLoadResponse()

    def _unload(self, request: Any) -> Any:
        control.check_parameters(request.parameters)
        self._wait(self._service.unload(request.model_name))
        return messages.RepositoryModelUnloadResponse()

    def _find(self, request: Any) -> Any:
        return self._service.find(request.name, request.version or None)

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _infer(self, data: bytes, context: Any) -> Any:
        call = _Call(context, self._loop)
        try:
            return self._answer(_parse(messages.ModelInferRequest, data), len(data), call, context)
        except Exception as error:
            self._abort(context, error)

    def _stream(self, requests: Iterator[bytes], context: Any) -> Iterator[Any]:
        """Yields the answers of a stream; an error is an answer, after which the stream goes on."""
        if not self._streams.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_STREAMS} streams are open already")
        try:
            call = _Call(context, self._loop)
            for data in requests:
                reply = messages.ModelStreamInferResponse()
                try:
                    request = _parse(messages.ModelInferRequest, data)
                    reply.infer_response.id = request.id
                    reply.infer_response.CopyFrom(self._answer(request, len(data), call, context))
                except Exception as error:
                    reply.error_message = self._service.failure(error).message
                yield reply
        finally:
            self._streams.release()

    def _answer(self, request: Any, size: int, call: "_Call", context: Any) -> Any:
        """Returns the answer to one request. Raises RequestError and whatever the runtime raises. Each is counted."""
        started = perf_counter()
        try:
            self._check_key(context)
        except KeyRefused as error:
            self._service.reject(request.model_name, error, started)
            raise
        codec = GrpcRequestCodec(request, size, call.time_remaining())
        version = request.model_version or None
        return self._service.infer_blocking(request.model_name, version, codec, started, call.wait)


class _Call:
    """A call in progress. When it is cancelled, or its deadline passes, waiting work is not begun."""

    def __init__(self, context: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._context, self._loop = context, loop
        self._working: Future[Any] | None = None
        self._over = False
        if not context.add_callback(self._end):  # one for all of a stream's requests: grpcio keeps them
            self._over = True

    def time_remaining(self) -> float | None:
        seconds: float | None = self._context.time_remaining()
        return seconds

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Returns or raises the result of ``coroutine`` in the event loop. Raises Disconnected."""
        working = self._working = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        if self._over:
            working.cancel()
        try:
            return working.result()
        except CancelledError as error:
            raise client_disconnected() from error
        finally:
            self._working = None

    def _end(self) -> None:
        self._over = True
        if (working := self._working) is not None:
            working.cancel()


def _parse(kind: Any, data: bytes) -> Any:
    """Returns the parsed message. Raises InvalidRequest; grpcio itself would report an invalid one as the server's
    fault."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"the message is not a {kind.DESCRIPTOR.full_name}: {in_words(error)}") from error


def _to_bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
