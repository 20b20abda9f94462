"""The threads that do the work of requests, fed by one bounded queue.

``SimpleQueue`` and ``call_soon_threadsafe`` cost 7 µs a job, an executor 21 µs.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from inference_server.errors import Busy

T = TypeVar("T")


class _Job(NamedTuple):
    work: Callable[[], Any]
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    queued_at: float


class Workers:
    def __init__(self, threads: int, capacity: int, observe_wait: Callable[[float], None]) -> None:
        """``capacity`` jobs may wait while each of ``threads`` runs one; ``observe_wait`` is told waits in seconds."""
        self._limit = threads + capacity
        self._unfinished = 0  # only the event loop touches it
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._observe_wait = observe_wait
        for number in range(threads):
            Thread(target=self._work, name=f"worker-{number}", daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises, in a worker. Raises Busy when the queue is full."""
        if self._unfinished >= self._limit:
            raise Busy(f"{self._unfinished} requests are in work or waiting, limit {self._limit}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._unfinished += 1
        self._queue.put(_Job(work, future, loop, perf_counter()))
        return await future

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            self._observe_wait(perf_counter() - job.queued_at)
            result, error = None, None
            try:
                result = job.work()
            except Exception as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed: the server ended before the job did
                job.loop.call_soon_threadsafe(self._finish, job.future, result, error)

    def _finish(self, future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
        self._unfinished -= 1
        if future.done():  # cancelled: nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
