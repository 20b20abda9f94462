"""The threads that do the work of requests, fed by one bounded queue.

``SimpleQueue`` and ``call_soon_threadsafe`` cost 7 µs per work item, an executor 21 µs.
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


class WorkItem(Protocol):
    """A piece of work for a worker. All items of one model have the same class."""

    def observe_queue_time(self, seconds: float) -> None:
        """The worker calls this before ``work``, with the seconds that the item waited in the queue."""

    def work(self) -> Any:
        """Does the work in a worker, and returns its result or raises."""


class BatchRunner(Protocol):
    """A runner of several items at once."""

    max_batch_items: int
    """The largest number of items in a batch."""

    def run_batch(self, items: Sequence[Any]) -> Sequence[Any]:
        """Returns for each item the result of its ``work``, or the exception that it would have raised."""


class QueuedWork:
    """An item in the queue, and the callback that takes its result."""

    __slots__ = ("batch_queue", "cancelled", "done", "item", "loop", "queued_at")

    def __init__(self, item: WorkItem, done: Done, batch_queue: "BatchQueue | None") -> None:
        self.item, self.done, self.batch_queue = item, done, batch_queue
        self.loop = asyncio.get_running_loop()
        self.queued_at = perf_counter()
        self.cancelled = False
        """True if nobody waits for the result any more; the work is then not begun."""


class BatchQueue:
    """The queued work of one model, some of which may run as one batch.

    The workers' queue has an entry for each work item, but the entry does not stand for a certain one: the worker that
    gets it takes the item that has waited longest here, and some of those that follow. Later entries may find nothing
    left.
    """

    def __init__(self, runner: BatchRunner, threads: int) -> None:
        self._runner = ref(runner)  # the runner holds this queue, and should be freed with its last request
        self._threads = threads
        self._queued: deque[QueuedWork] = deque()
        self._lock = Lock()

    def add(self, work: QueuedWork) -> None:
        """Adds work at the end."""
        self._queued.append(work)

    def take(self) -> tuple[BatchRunner, list[QueuedWork]]:
        """Returns a fair share of the waiting items, the longest-waiting first; an empty list if there are none."""
        runner = self._runner()
        assert runner is not None, "its queued work has it"
        with self._lock:
            share = -(-len(self._queued) // self._threads)
            return runner, [self._queued.popleft() for _ in range(min(share, runner.max_batch_items))]


class Workers:
    """The threads of a process and their queue."""

    def __init__(self, threads: int, capacity: int) -> None:
        """Starts ``threads``; ``capacity`` items may wait while each works on one."""
        self._limit = threads + capacity
        self._unfinished = 0  # only the event loop touches it
        self._queue: SimpleQueue[QueuedWork] = SimpleQueue()
        for number in range(threads):
            Thread(target=self._run, name=f"worker-{number}", daemon=True).start()

    def submit(self, item: WorkItem, done: Done, batch_queue: BatchQueue | None = None) -> QueuedWork:
        """Queues ``item``. ``done`` is called in the event loop with the result or the exception of its work.

        Raises Busy if the queue is full.
        """
        if self._unfinished >= self._limit:
            raise Busy(f"{self._unfinished} requests are in work or waiting, limit {self._limit}")
        self._unfinished += 1
        work = QueuedWork(item, done, batch_queue)
        if batch_queue is not None:
            batch_queue.add(work)
        self._queue.put(work)
        return work

    async def run(self, item: WorkItem, batch_queue: BatchQueue | None = None) -> Any:
        """Returns or raises the result of the work in a worker.

        If it is cancelled before its turn, the work is not begun. Raises Busy.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        work = self.submit(item, partial(resolve, future), batch_queue)
        try:
            return await future
        finally:
            work.cancelled = True  # no effect on work that is done
            # The exception holds this frame: with the future in it, both would wait for a garbage collection.
            del future, work

    def _run(self) -> None:
        while True:
            self._run_next()

    def _run_next(self) -> None:
        """Waits for work and does it. Its variables end with it: a waiting worker must not keep a body, or a model that
        is unloaded."""
        work = self._queue.get()
        if work.batch_queue is None:
            self._run_one(work)
            return
        runner, batch = work.batch_queue.take()
        if len(batch) == 1:
            self._run_one(batch[0])
        elif batch:
            self._run_batch(runner, batch)

    def _run_one(self, work: QueuedWork) -> None:
        work.item.observe_queue_time(perf_counter() - work.queued_at)
        result: Any = None
        error: Exception | None = None
        try:
            if work.cancelled:
                raise _client_disconnected()
            result = work.item.work()
        except Exception as raised:
            error = raised
        self._deliver(work, result, error)
        del error  # it holds this frame: together they would keep the body until a garbage collection

    def _run_batch(self, runner: BatchRunner, batch: Sequence[QueuedWork]) -> None:
        now = perf_counter()
        wanted: list[QueuedWork] = []
        for work in batch:
            work.item.observe_queue_time(now - work.queued_at)
            if work.cancelled:
                self._deliver(work, None, _client_disconnected())
            else:
                wanted.append(work)
        results: Sequence[Any]
        try:
            results = runner.run_batch([work.item for work in wanted])
        except Exception as raised:
            results = [raised] * len(wanted)
        for work, result in zip(wanted, results, strict=True):
            error = result if isinstance(result, Exception) else None
            self._deliver(work, result, error)

    def _deliver(self, work: QueuedWork, result: Any, error: Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server ended before the work did
            work.loop.call_soon_threadsafe(self._finish, work, result, error)

    def _finish(self, work: QueuedWork, result: Any, error: Exception | None) -> None:
        self._unfinished -= 1
        work.done(result, error)


def resolve(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    """Gives ``future`` its result or exception, unless it was cancelled."""
    if future.done():  # cancelled: nobody waits any more
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _client_disconnected() -> Disconnected:
    return Disconnected("the client went away while its request waited")
