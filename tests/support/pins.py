"""The pins on nodes, and each change of them, as a watch saw it."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from edgemodel.names import PIN_PREFIX
from examples.lab.site import Site, SiteError
from tests.support.watching import Watch

LISTED_WITHIN_SECONDS = 60


@dataclass(frozen=True)
class PinMove:
    """A change of the pins of one node."""

    at: float
    """The time in seconds of the monotonic clock."""
    node: str
    pin: str
    is_set: bool
    """True if the pin was set, False if it was removed."""


class PinWatch:
    """A watch of pins, for ``with PinWatch(site) as pins``; the pins at its beginning are not moves.

    It sees nothing while the API server is away, and what changed meanwhile when it is back.
    """

    def __init__(self, site: Site) -> None:
        self.moves: list[PinMove] = []
        self._watch = Watch(site, self._see, "nodes")
        self._known: dict[str, frozenset[str]] = {}
        self._changed = threading.Condition()

    def __enter__(self) -> "PinWatch":
        self._watch.__enter__()
        with self._changed:
            if not self._changed.wait_for(lambda: self._known, LISTED_WITHIN_SECONDS):
                self._watch.__exit__()
                raise SiteError(f"no node was listed within {LISTED_WITHIN_SECONDS} s")
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.__exit__()

    @property
    def known(self) -> dict[str, frozenset[str]]:
        """Returns the last known pins of each node."""
        with self._changed:
            return dict(self._known)

    def next_moves(self, concerns: Callable[[PinMove], bool], seconds: float) -> list[PinMove]:
        """Returns the next moves from now on for which ``concerns`` returns True; none if there were none in
        ``seconds``."""
        with self._changed:
            begin = len(self.moves)

            def found() -> list[PinMove]:
                return list(filter(concerns, self.moves[begin:]))

            return self._changed.wait_for(found, seconds)

    def _see(self, node: dict[str, Any]) -> None:
        name, now, pins = node["metadata"]["name"], time.monotonic(), frozenset(pins_of(node))
        with self._changed:
            before = self._known.get(name, pins)
            self.moves += [PinMove(now, name, pin, True) for pin in sorted(pins - before)]
            self.moves += [PinMove(now, name, pin, False) for pin in sorted(before - pins)]
            self._known[name] = pins
            self._changed.notify_all()


def pins_of(node: dict[str, Any]) -> set[str]:
    """Returns the pins among the labels of a node."""
    return {key for key in node["metadata"].get("labels") or {} if key.startswith(PIN_PREFIX)}


def pins_of_nodes(site: Site, names: Iterable[str] = ()) -> dict[str, set[str]]:
    """Returns the pins by node; of all nodes without ``names``."""
    found = {node["metadata"]["name"]: pins_of(node) for node in site.get("nodes")["items"]}
    return {name: pins for name, pins in found.items() if not names or name in names}
