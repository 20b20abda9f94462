"""A queue of keys that wait for a pass: each waits at most once, and no key has two passes at a time."""

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """The queue; its length is the number of keys that wait now, without timers."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Queues ``key``; if a pass of it runs, for after that pass."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Queues ``key`` in ``seconds``, unless it is queued sooner."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(max(seconds, 0), self.add, key)

    async def get(self) -> K:
        """Waits for a key and returns it; its pass runs until ``done``."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._running.add(key)
        return key

    def done(self, key: K) -> None:
        """Ends the pass of ``key``; every ``get`` must be followed by it."""
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
