"""The threads that do the work of requests, fed by one bounded queue.

``SimpleQueue`` and ``call_soon_threadsafe`` cost 7 µs a job, an executor 21 µs.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, TypeVar

from inference_server.errors import Busy, Disconnected

T = TypeVar("T")
Done = Callable[[Any, Exception | None], None]


class Job:
    __slots__ = ("cancelled", "done", "loop", "observe_wait", "queued_at", "work")

    def __init__(self, work: Callable[[], Any], done: Done, observe_wait: Callable[[float], None]) -> None:
        self.work, self.done, self.observe_wait = work, done, observe_wait
        self.loop = asyncio.get_running_loop()
        self.queued_at = perf_counter()
        self.cancelled = False
        """Nobody waits for it any more: when its turn comes, it is not begun."""


class Workers:
    def __init__(self, threads: int, capacity: int) -> None:
        """``capacity`` jobs may wait while each of ``threads`` runs one."""
        self._limit = threads + capacity
        self._unfinished = 0  # only the event loop touches it
        self._queue: SimpleQueue[Job] = SimpleQueue()
        for number in range(threads):
            Thread(target=self._work, name=f"worker-{number}", daemon=True).start()

    def submit(self, work: Callable[[], Any], done: Done, observe_wait: Callable[[float], None]) -> Job:
        """``done`` is called in the event loop with what ``work`` returned, or with what it raised in a worker.

        ``observe_wait`` is told in a worker how many seconds it waited. Raises Busy when the queue is full.
        """
        if self._unfinished >= self._limit:
            raise Busy(f"{self._unfinished} requests are in work or waiting, limit {self._limit}")
        self._unfinished += 1
        job = Job(work, done, observe_wait)
        self._queue.put(job)
        return job

    async def run(self, work: Callable[[], T], observe_wait: Callable[[float], None]) -> T:
        """What ``work`` returns or raises, in a worker. Raises Busy when the queue is full."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T, error: Exception | None) -> None:
            if future.done():  # cancelled: nobody waits any more
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.submit(work, done, observe_wait)
        return await future

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            job.observe_wait(perf_counter() - job.queued_at)
            result: Any = None
            error: Exception | None = None
            try:
                if job.cancelled:
                    raise Disconnected("the client went away while its request waited")
                result = job.work()
            except Exception as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed: the server ended before the job did
                job.loop.call_soon_threadsafe(self._finish, job, result, error)

    def _finish(self, job: Job, result: Any, error: Exception | None) -> None:
        self._unfinished -= 1
        job.done(result, error)
