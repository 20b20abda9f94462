"""A recorder of every status of a namespace's EdgeModels and every move of their pins, with the times.

``problems`` checks what must hold for all of them; ``catch_up`` checks that the watches still work.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from edgemodel.names import DEFAULT_VARIANT, pin_key, puller_of
from examples.lab.site import Site, SiteError
from examples.lab.waiting import wait_for
from tests.support import kstatus
from tests.support.pins import PinMove, PinWatch, pins_of_nodes
from tests.support.watching import Watch


@dataclass
class Seen:
    """One state of an object."""

    at: float
    """The seconds since the recording began."""
    item: dict[str, Any]

    @property
    def status(self) -> dict[str, Any]:
        """The status of the object; empty if it has none."""
        return self.item.get("status") or {}

    def condition(self, kind: str) -> dict[str, Any]:
        """Returns the condition of type ``kind``; empty if there is none."""
        found = (c for c in self.status.get("conditions") or () if c["type"] == kind)
        return next(found, {})


@dataclass
class Recorder:
    """A recorder, for ``with Recorder(site, namespace) as recorder``; a test may add marks to the timeline."""

    site: Site
    namespace: str
    seen: list[Seen] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _until_exit: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self._pins = PinWatch(self.site)

    def __enter__(self) -> "Recorder":
        self._until_exit.enter_context(Watch(self.site, self._see, "edgemodels", "-n", self.namespace))
        self._until_exit.enter_context(self._pins)
        return self

    def __exit__(self, *_: object) -> None:
        self._until_exit.close()

    def mark(self, text: str) -> None:
        """Adds a mark for something that the test did, or saw."""
        self.marks.append((time.monotonic() - self._began, text))

    @property
    def pins(self) -> dict[str, tuple[str, str]]:
        """Returns the (revision, variant) of each pin, for every revision that a status has named."""
        found: dict[str, tuple[str, str]] = {}
        for seen in list(self.seen):
            status, meta = seen.status, seen.item["metadata"]
            names = {name for key in ("stableRevision", "candidateRevision") if (name := status.get(key))}
            names |= {item["name"] for item in status.get("rejectedRevisions") or ()}
            variants = {DEFAULT_VARIANT, *(item["name"] for item in seen.item["spec"].get("variants") or ())}
            variants |= {puller_of(variant) for variant in variants}
            for name in names:
                found |= {pin_key(self.namespace, meta["name"], name, each): (name, each) for each in variants}
        return found

    def pin_moves(self) -> list[PinMove]:
        """Returns the moves of the pins of this namespace's EdgeModels, in order."""
        pins = self.pins
        return [move for move in list(self._pins.moves) if move.pin in pins]

    def pin_moves_within(self, seconds: float) -> list[PinMove]:
        """Returns the next moves from now on; none if nothing moved within the seconds."""
        return self._pins.next_moves(lambda move: move.pin in self.pins, seconds)

    def catch_up(self, seconds: float = 30) -> None:
        """Returns once everything was seen in its present state. Raises SiteError with what was not, because a watch
        has failed."""
        try:
            wait_for("the watches", lambda: not self._unseen(), timeout_s=seconds, not_yet=())
        except TimeoutError:
            if unseen := self._unseen():
                raise SiteError(f"what was recorded last is not how things are: {', '.join(unseen)}") from None

    def _unseen(self) -> list[str]:
        last = {seen.item["metadata"]["name"]: seen.item for seen in list(self.seen)}
        models = {item["metadata"]["name"]: item for item in self.site.get("edgemodels", "-n", self.namespace)["items"]}
        unseen = [f"EdgeModel {name}" for name, item in models.items() if _meaning(item) != _meaning(last.get(name))]
        mine, known = self.pins.keys(), self._pins.known
        for node, pins in pins_of_nodes(self.site).items():
            if mine & pins != mine & known.get(node, frozenset()):
                unseen.append(f"pins of node {node}")
        return unseen

    def timeline(self) -> str:
        """Returns the timeline: each change of a Ready condition, a verdict or a pin, and each mark."""
        lines = [(at, f"* {text}") for at, text in self.marks]
        pins = self.pins
        for move in self.pin_moves():
            revision, variant = pins[move.pin]
            of = revision if variant == DEFAULT_VARIANT else f"{revision} ({variant})"
            lines.append((move.at - self._began, f"{move.node}: pin of {of} {'set' if move.is_set else 'taken away'}"))
        before: dict[str, tuple[Any, ...]] = {}
        verdicts: dict[tuple[str, str, str], str] = {}
        for seen in list(self.seen):
            name, ready = seen.item["metadata"]["name"], seen.condition("Ready")
            now = (ready.get("status"), ready.get("reason"), ready.get("message"))
            if before.get(name) != now and ready:
                before[name] = now
                lines.append((seen.at, f"{name}: Ready={now[0]} {now[1]}: {now[2]}"))
            for check in seen.status.get("checks") or ():
                key = (name, check["name"], check.get("variant", ""))
                if "revision" in check and verdicts.get(key) != check["verdict"]:
                    verdicts[key] = check["verdict"]
                    lines.append((seen.at, f"{name}: check {check['name']} {check['verdict']}: {check['message']}"))
        return "\n".join(f"{at:7.1f} s  {text}" for at, text in sorted(lines))

    def problems(self) -> Iterator[str]:
        """Yields each place where a status is not what GitOps tools need at that step."""
        for seen in list(self.seen):
            computed = kstatus.compute(seen.item)
            expected = _expected(seen)
            if expected not in (None, computed):
                told = json.dumps(seen.status)[:600]
                yield f"at {seen.at:.1f} s kstatus makes {computed} of it, want {expected}: {told}"
            conditions = seen.status.get("conditions") or ()
            types = [condition["type"] for condition in conditions]
            if len(types) != len(set(types)) or {"Reconciling", "Stalled"} <= set(types):
                yield f"at {seen.at:.1f} s the conditions are {types}"
            if any(c["observedGeneration"] != seen.status["observedGeneration"] for c in conditions):
                yield f"at {seen.at:.1f} s a condition speaks of another generation"

    def _see(self, item: dict[str, Any]) -> None:
        if not self.seen or self.seen[-1].item != item:
            self.seen.append(Seen(time.monotonic() - self._began, item))


def _meaning(item: dict[str, Any] | None) -> Any:
    return item and (item["metadata"]["generation"], item["spec"], item.get("status"))


def _expected(seen: Seen) -> str | None:
    """Returns the kstatus that the object's own conditions require; None for a deleted or unreconciled one."""
    status, meta = seen.status, seen.item["metadata"]
    if "deletionTimestamp" in meta:
        return None
    if status.get("observedGeneration") != meta["generation"]:
        return kstatus.IN_PROGRESS
    if seen.condition("Stalled").get("status") == "True":
        return kstatus.FAILED
    if status.get("candidateRevision") or seen.condition("Reconciling").get("status") == "True":
        return kstatus.IN_PROGRESS
    return kstatus.CURRENT
