"""The workers: what they keep of the work that they have done."""

import asyncio
from threading import Event
from weakref import finalize

from inference_server.scheduling.workers import Workers

DEADLINE_SECONDS = 10


class Item:
    """A piece of work whose result is 7."""

    def observe_queue_time(self, seconds: float) -> None:
        """Takes any time from 0 on."""
        assert seconds >= 0

    def work(self) -> int:
        """Returns 7."""
        return 7


def test_a_worker_that_waits_keeps_nothing_of_its_latest_work() -> None:
    freed = Event()

    async def one_piece_of_work() -> int:
        item = Item()
        finalize(item, freed.set)
        found: int = await Workers(1, 8).run(item)
        return found

    assert asyncio.run(one_piece_of_work()) == 7
    assert freed.wait(DEADLINE_SECONDS), "a body, or a model that is unloaded, would stay until the next request"
