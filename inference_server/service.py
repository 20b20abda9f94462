"""The inference service: the only way from a listener to a model.

It finds the model, decides where a request runs, counts and times it, and turns an error into an answer. The code that
finishes an infer request counts it, here and nowhere else, so that each is counted once, however it ends.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter, thread_time
from typing import Any

from edgemodel import metrics as contract
from edgemodel.version import VERSION
from inference_server import logs
from inference_server.api_keys import ApiKeys
from inference_server.errors import (
    Busy,
    Failure,
    NotReady,
    RequestError,
    UnfitRequest,
    client_disconnected,
    failure_of,
)
from inference_server.generate.embedding import Embeddings, TextEncoder
from inference_server.generate.engine import GenerationRequest
from inference_server.generate.model import TextModel
from inference_server.generate.stream import TextStream
from inference_server.models import control
from inference_server.models.feedback import Feedback
from inference_server.models.repository import LOADING, ModelRepository
from inference_server.models.served_model import ServedModel
from inference_server.observability.metrics import Exposition, ModelMetrics
from inference_server.protocol.request_codec import PlainCodec, RequestCodec
from inference_server.protocol.tensors import Buffer
from inference_server.scheduling.workers import Done, QueuedWork, Workers, resolve

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
MAX_MODEL_CHANGES = 16
"""The largest number of loads and unloads in work or waiting."""

InferPlain = Callable[[Buffer, float], bytes | None]
"""A function from the body of a request, and ``perf_counter()`` at its beginning, to its answer; None for one that must
be submitted."""

_LOG_INTERVAL_SECONDS = 1.0  # an error of every request must not fill the node's disk
_log = logging.getLogger(__name__)


class InferenceService:
    """The inference service, which only the event loop calls, except for ``infer_blocking`` and functions that only
    read."""

    def __init__(
        self,
        models: ModelRepository,
        workers: Workers,
        *,
        explicit_model_control: bool,
        replay_token: str | None,
        api_keys: ApiKeys | None = None,
    ) -> None:
        """Takes ``explicit_model_control``, which lets clients load and unload models.

        ``replay_token`` is the token that a candidate shows to get the latest requests; None: nobody may. Clients show
        one of ``api_keys``; None: they need none.
        """
        self.api_keys = api_keys
        self.models = models
        self.replay_token = replay_token
        self._workers = workers
        self._explicit_model_control = explicit_model_control
        self._changes = 0
        self._changing = ThreadPoolExecutor(1, "control")
        self._prompts = ThreadPoolExecutor(1, "prompt")
        self._exposition = Exposition(lambda: [entry.metrics for entry in models.entries.values()])
        self._logged_at = float("-inf")

    # --- inference ---

    def find(self, model: str, version: str | None) -> ServedModel:
        """Returns the served model. Raises ModelNotFound, ModelNotReady."""
        return self.models.find(model, version)

    def submit(
        self, served: ServedModel, codec: RequestCodec, started: float, arrived: float, done: Done
    ) -> QueuedWork | None:
        """Answers an infer request, here if that is quick, otherwise in a worker.

        ``done`` is called once, in the event loop, with the answer or the error, after the request was counted; if this
        returns None, it was called already. ``started`` and ``arrived`` are ``perf_counter()`` at the first and the
        last byte of the request.
        """
        if _is_quick(served, codec):
            try:
                answer = self._infer_here(served, codec, started, arrived)
            except Exception as error:
                done(None, error)
            else:
                done(answer, None)
            return None
        return self._enqueue(served, codec, started, arrived, done)

    async def infer(
        self,
        model: str,
        version: str | None,
        receive: Callable[[], Awaitable[RequestCodec]],
        started: float,
        left: Callable[[], Awaitable[None]],
    ) -> Any:
        """Returns the answer of the codec that ``receive`` returns once the model is found.

        ``left`` returns when the client disconnects: waiting work is then not begun. Raises RequestError, and whatever
        the runtime raises.
        """
        try:
            served = self.find(model, version)
            codec = await receive()
        except Exception as error:
            self.reject(model, error, started)
            raise
        return await self._answered(served, codec, started, left)

    def infer_blocking(
        self,
        model: str,
        version: str | None,
        codec: RequestCodec,
        started: float,
        wait: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> Any:
        """Infers as ``infer`` does, for a listener that has a thread for each request, in that thread.

        ``wait`` runs a coroutine in the event loop and returns or raises its result.
        """
        try:
            served = self.find(model, version)
        except Exception as error:
            self.reject(model, error, started)
            raise
        if _is_quick(served, codec):
            return self._infer_here(served, codec, started, started)
        return wait(self._answered(served, codec, started))

    def infer_plain(self, served: ServedModel, codec: PlainCodec) -> InferPlain | None:
        """Returns a function that answers plain requests to ``served`` in the event loop while they are quick.

        It does the same as ``submit``, in one pass, because the steps in between take as long as a small model's run.
        It raises what the runtime raises. None: all requests of this model have to be submitted.
        """
        if not served.takes_plain:
            return None
        read, outputs, write = codec
        is_quick, run, update_cost = served.is_quick, served.model.run_usual, served.update_cost
        note, record = served.metrics.drift.note, served.metrics.inline.record

        def infer(body: Buffer, started: float) -> bytes | None:
            size = len(body)
            if not is_quick(size, False):
                return None
            received = perf_counter()
            request = read(body)
            if request is None or request[0] is not None:  # a prediction with an id is kept for its feedback
                return None
            decoded = perf_counter()
            try:
                arrays = run(request[1], outputs)
                ran = perf_counter()
                answer = write(arrays)
                note(arrays[0], ran)
            except Exception as error:
                self._count_here(served, size, started, received, error)
                raise
            now = perf_counter()
            record(started, received, decoded, ran, now)
            update_cost(now - received, size)
            return answer

        return infer

    async def generate(
        self,
        model: str,
        version: str | None,
        prepare: Callable[[TextModel], GenerationRequest],
        started: float,
    ) -> TextStream:
        """Begins to generate text, and counts the request when that ends.

        ``prepare`` makes the request for the model, in another thread, since a long prompt takes time. Raises
        RequestError, UnfitRequest for a model that generates no text.
        """
        try:
            served = self.find(model, version)
            if served.text is None:
                raise UnfitRequest(f"model {model!r} generates no text: ask /v2/models/{model}/infer", "model")
            request = await asyncio.get_running_loop().run_in_executor(self._prompts, prepare, served.text)
            stream = TextStream(served.text, request, lambda error: self._count(served.metrics, error, started))
        except Exception as error:
            self.reject(model, error, started)
            raise
        return stream

    async def embed(self, model: str, texts: Sequence[str | Sequence[int]], started: float) -> Embeddings:
        """Returns the vectors of ``texts``, which a worker makes. Raises RequestError, and what the runtime raises."""
        try:
            served = self.find(model, None)
            if served.encoder is None:
                raise UnfitRequest(f"model {model!r} makes no embeddings of texts", "model")
            made: Embeddings = await self._workers.run(_Embedding(served, served.encoder, texts))
        except Exception as error:
            self.reject(model, error, started)
            raise
        self._count(served.metrics, None, started)
        return made

    def end_generations(self) -> None:
        """Ends all texts that are being generated, with what they have: the server has to end."""
        cut = sum(served.text.end_all() for served in self.models.serving if served.text is not None)
        if cut:
            logs.event("answers end before they are complete, as the server has to end", cut=cut)

    def reject(self, model: str, error: Exception, started: float) -> None:
        """Counts an infer request that ended with ``error`` before its model ran.

        One for an unknown model counts for the first.
        """
        self._count(self.models.entries.get(model, self.models.first).metrics, error, started)

    def failure(self, error: Exception) -> Failure:
        """Returns the answer for ``error``, and logs one that is the server's fault."""
        failure = failure_of(error)
        if not isinstance(error, RequestError) and failure.status >= 500:
            now = perf_counter()
            if now - self._logged_at >= _LOG_INTERVAL_SECONDS:
                self._logged_at = now
                _log.error("a request failed", exc_info=error)
        return failure

    def _infer_here(self, served: ServedModel, codec: RequestCodec, started: float, arrived: float) -> Any:
        try:
            answer = served.infer(codec, arrived)
        except Exception as error:
            self._count_here(served, codec.size, started, arrived, error)
            raise
        self._count_here(served, codec.size, started, arrived, None)
        return answer

    def _enqueue(
        self, served: ServedModel, codec: RequestCodec, started: float, arrived: float, done: Done
    ) -> QueuedWork | None:
        """Queues the request for a worker; ``done`` is called as in ``submit``."""
        try:
            item = _Inference(served, codec, arrived)
            return self._workers.submit(item, partial(self._finish, served, started, done), served.batch_queue)
        except Busy as error:
            self._finish(served, started, done, None, error)
            return None

    async def _answered(
        self,
        served: ServedModel,
        codec: RequestCodec,
        started: float,
        left: Callable[[], Awaitable[None]] | None = None,
    ) -> Any:
        """Returns or raises a worker's answer; the handover costs little compared with a coroutine."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        work = self._enqueue(served, codec, started, perf_counter(), partial(resolve, answered))
        try:
            return await _unless_left(answered, None if answered.done() else left)
        finally:
            answered.cancel()  # no effect on one that is done
            if work is not None:
                work.cancelled = True
            # The exception holds this frame: with the future in it, both would wait for a garbage collection.
            del answered, work

    # --- the only place where infer requests are counted ---

    def _finish(self, served: ServedModel, started: float, done: Done, answer: Any, error: Exception | None) -> None:
        self._count(served.metrics, error, started)
        done(answer, error)

    def _count(
        self, metrics: ModelMetrics, error: Exception | None, started: float, queue_seconds: float | None = None
    ) -> None:
        outcome = contract.OK if error is None else failure_of(error).outcome
        metrics.record_request(outcome, perf_counter() - started, queue_seconds)

    def _count_here(
        self, served: ServedModel, size: int, started: float, arrived: float, error: Exception | None
    ) -> None:
        """Counts a request that was answered in the thread where it arrived."""
        served.update_cost(perf_counter() - arrived, size)
        self._count(served.metrics, error, started, queue_seconds=0.0)

    # --- everything else ---

    @property
    def ready(self) -> bool:
        """True once every model serves, or was unloaded."""
        return self.models.ready

    def check_ready(self) -> None:
        """Raises NotReady unless the server is ready."""
        if not self.ready:
            raise NotReady(LOADING)

    def metadata(self) -> dict[str, Any]:
        """Returns the JSON of the server metadata of the protocol."""
        return {"name": "edgemodel", "version": VERSION, "extensions": EXTENSIONS}

    def statistics(self, model: str, version: str | None) -> dict[str, Any]:
        """Returns the statistics of one model, or of all if ``model`` is empty. Raises ModelNotFound, ModelNotReady."""
        found = [self.find(model, version)] if model else self.models.serving
        return {"model_stats": [served.statistics() for served in found]}

    def scrape(self) -> bytes:
        """Returns all metrics in the text exposition format of Prometheus."""
        return self._exposition.scrape()

    async def feedback(
        self, served: ServedModel, decode: Callable[[], Feedback], left: Callable[[], Awaitable[None]]
    ) -> dict[str, Any]:
        """Counts an earlier prediction as right or wrong; ``decode`` runs in a worker. Raises RequestError."""
        judging = asyncio.ensure_future(self._workers.run(_Judging(served, decode)))
        try:
            judged: dict[str, Any] = await _unless_left(judging, left)
            return judged
        finally:
            judging.cancel()
            del judging

    def index(self, *, only_ready: bool) -> list[dict[str, str]]:
        """Returns name, version, state and reason of each model."""
        return control.index(self.models, only_ready=only_ready)

    async def load(self, model: str) -> None:
        """Loads a model, which takes long, as does ``unload``. Raises ModelNotFound, InvalidRequest, Busy."""
        await self._change(control.load, model)

    async def unload(self, model: str) -> None:
        """Unloads a model. Raises ModelNotFound, InvalidRequest, Busy."""
        await self._change(control.unload, model)

    async def _change(self, change: Callable[[ModelRepository, str], None], model: str) -> None:
        """Makes one change at a time, in a thread of its own that the shutdown does not wait for."""
        control.check_allowed(self.models, model, explicit=self._explicit_model_control)
        if self._changes >= MAX_MODEL_CHANGES:
            raise Busy(f"{self._changes} loads and unloads are in work or waiting, limit {MAX_MODEL_CHANGES}")
        self._changes += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._changing, change, self.models, model)
        finally:
            self._changes -= 1


class _Inference:
    """One infer request, as the workers take it."""

    __slots__ = ("arrived", "codec", "served")

    def __init__(self, served: ServedModel, codec: RequestCodec, arrived: float) -> None:
        self.served, self.codec, self.arrived = served, codec, arrived

    def observe_queue_time(self, seconds: float) -> None:
        self.served.metrics.observe_queue_time(seconds)

    def work(self) -> Any:
        began = thread_time()
        answer = self.served.infer(self.codec, self.arrived)
        self.served.update_cost(thread_time() - began, self.codec.size)
        return answer


class _Embedding:
    """One request for embeddings, as the workers take it."""

    __slots__ = ("encoder", "served", "texts")

    def __init__(self, served: ServedModel, encoder: TextEncoder, texts: Sequence[str | Sequence[int]]) -> None:
        self.served, self.encoder, self.texts = served, encoder, texts

    def observe_queue_time(self, seconds: float) -> None:
        self.served.metrics.observe_queue_time(seconds)

    def work(self) -> Embeddings:
        return self.encoder.embed(self.texts)


class _Judging:
    """One feedback request, as the workers take it."""

    __slots__ = ("decode", "served")

    def __init__(self, served: ServedModel, decode: Callable[[], Feedback]) -> None:
        self.served, self.decode = served, decode

    def observe_queue_time(self, seconds: float) -> None:
        """Does nothing: the queue time of feedback is not counted."""

    def work(self) -> dict[str, Any]:
        return self.served.feedback(self.decode())


def _is_quick(served: ServedModel, codec: RequestCodec) -> bool:
    return not codec.is_compressed and served.is_quick(codec.size, codec.is_binary)


async def _unless_left(answered: "asyncio.Future[Any]", left: Callable[[], Awaitable[None]] | None) -> Any:
    """Returns or raises the result of ``answered``. Raises Disconnected if ``left`` returns before."""
    if left is None:
        return await answered
    leaving = asyncio.ensure_future(left())
    try:
        await asyncio.wait((answered, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise client_disconnected()
        return answered.result()
    finally:
        leaving.cancel()
        del answered
