"""Every status that an EdgeModel of a namespace ever had, with the time at which it was seen; what must hold of all."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support import kstatus
from tests.support.site import Site
from tests.support.watching import Watch


@dataclass
class Seen:
    at: float
    """Seconds since the recording began."""
    item: dict[str, Any]

    @property
    def status(self) -> dict[str, Any]:
        return self.item.get("status") or {}

    def condition(self, kind: str) -> dict[str, Any]:
        found = (c for c in self.status.get("conditions") or () if c["type"] == kind)
        return next(found, {})


@dataclass
class Recorder:
    """``with Recorder(site, namespace) as recorder``; marks of the test's own go between what was seen."""

    site: Site
    namespace: str
    seen: list[Seen] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _watch: Watch | None = None

    def __enter__(self) -> "Recorder":
        self._watch = Watch(self.site, self._see, "edgemodels", "-n", self.namespace)
        self._watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._watch is not None
        self._watch.__exit__()

    def mark(self, text: str) -> None:
        """Something that the test did, or saw."""
        self.marks.append((time.monotonic() - self._began, text))

    def timeline(self) -> str:
        """What happened when: a line for each change of a Ready condition, of a check's verdict, and for each mark."""
        lines = [(at, f"* {text}") for at, text in self.marks]
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
        """Where a status is not what GitOps tools need at that step."""
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


def _expected(seen: Seen) -> str | None:
    """By what the object itself is about; None while it is being deleted, or was never looked at."""
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
