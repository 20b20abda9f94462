"""The threads that do the work of requests, fed by one bounded queue.

``SimpleQueue`` and ``call_soon_threadsafe`` cost 7 µs a job, an executor 21 µs.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter
from typing import Any, Protocol
from weakref import ref

from inference_server.errors import Busy, Disconnected

Done = Callable[[Any, Exception | None], None]


class Task(Protocol):
    """What a job is about; the same kind for all of a model's."""

    def waited(self, seconds: float) -> None:
        """Told in a worker, before ``work``."""

    def work(self) -> Any: ...


class Together(Protocol):
    """What can be done for several tasks at once."""

    max_batch_items: int
    """Tasks at most."""

    def work_together(self, tasks: Sequence[Any]) -> Sequence[Any]:
        """What ``work`` of each would have returned, or the exception that it would have raised."""


class Job:
    __slots__ = ("cancelled", "done", "loop", "queued_at", "task", "together")

    def __init__(self, task: Task, done: Done, together: "Waiting | None") -> None:
        self.task, self.done, self.together = task, done, together
        self.loop = asyncio.get_running_loop()
        self.queued_at = perf_counter()
        self.cancelled = False
        """Nobody waits for it any more: when its turn comes, it is not begun."""


class Waiting:
    """The jobs in the queue that may be done together.

    The queue has an entry for each of them, but an entry stands for no certain one: whoever gets one does what has
    waited longest here, and some of what follows. Later entries may so find nothing left.
    """

    def __init__(self, together: Together, threads: int) -> None:
        self._together = ref(together)  # it has this, and should go with its last request
        self._threads = threads
        self._jobs: deque[Job] = deque()
        self._lock = Lock()

    def add(self, job: Job) -> None:
        self._jobs.append(job)

    def take(self) -> tuple[Together, list[Job]]:
        """A fair share of what waits, the longest first; an empty list when nothing does."""
        together = self._together()
        assert together is not None, "its jobs have it"
        with self._lock:
            share = -(-len(self._jobs) // self._threads)
            return together, [self._jobs.popleft() for _ in range(min(share, together.max_batch_items))]


class Workers:
    def __init__(self, threads: int, capacity: int) -> None:
        """``capacity`` jobs may wait while each of ``threads`` runs one."""
        self._limit = threads + capacity
        self._unfinished = 0  # only the event loop touches it
        self._queue: SimpleQueue[Job] = SimpleQueue()
        for number in range(threads):
            Thread(target=self._work, name=f"worker-{number}", daemon=True).start()

    def submit(self, task: Task, done: Done, together: Waiting | None = None) -> Job:
        """``done`` is called in the event loop with what the work returned, or with what it raised in a worker.

        Raises Busy when the queue is full.
        """
        if self._unfinished >= self._limit:
            raise Busy(f"{self._unfinished} requests are in work or waiting, limit {self._limit}")
        self._unfinished += 1
        job = Job(task, done, together)
        if together is not None:
            together.add(job)
        self._queue.put(job)
        return job

    async def run(self, task: Task, together: Waiting | None = None) -> Any:
        """What the work returns or raises, in a worker; cancelled before its turn, it is not begun. Raises Busy."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        job = self.submit(task, partial(_settle, future), together)
        try:
            return await future
        finally:
            job.cancelled = True  # no matter for one that is done
            # What it raised holds this frame: with the future in it, they would wait for a garbage collection.
            del future, job

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            if job.together is None:
                self._do(job)
                continue
            together, jobs = job.together.take()
            if len(jobs) == 1:
                self._do(jobs[0])
            elif jobs:
                self._do_together(together, jobs)

    def _do(self, job: Job) -> None:
        job.task.waited(perf_counter() - job.queued_at)
        result: Any = None
        error: Exception | None = None
        try:
            if job.cancelled:
                raise _gone()
            result = job.task.work()
        except Exception as raised:
            error = raised
        self._tell(job, result, error)
        del error  # it holds this frame: together they would keep the body until a garbage collection

    def _do_together(self, together: Together, jobs: Sequence[Job]) -> None:
        now = perf_counter()
        wanted: list[Job] = []
        for job in jobs:
            job.task.waited(now - job.queued_at)
            if job.cancelled:
                self._tell(job, None, _gone())
            else:
                wanted.append(job)
        results: Sequence[Any]
        try:
            results = together.work_together([job.task for job in wanted])
        except Exception as raised:
            results = [raised] * len(wanted)
        for job, result in zip(wanted, results, strict=True):
            error = result if isinstance(result, Exception) else None
            self._tell(job, result, error)

    def _tell(self, job: Job, result: Any, error: Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server ended before the job did
            job.loop.call_soon_threadsafe(self._finish, job, result, error)

    def _finish(self, job: Job, result: Any, error: Exception | None) -> None:
        self._unfinished -= 1
        job.done(result, error)


def _settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():  # cancelled: nobody waits any more
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _gone() -> Disconnected:
    return Disconnected("the client went away while its request waited")
