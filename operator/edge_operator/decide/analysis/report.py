"""The entries of ``status.checks``, rewritten only when the meaning of a judgement changes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edge_operator.decide.analysis.evidence import Judged
from edge_operator.decide.analysis.judge import Judgement
from edge_operator.decide.formats import MAX_MESSAGE_LENGTH, timestamp

MAX_CHECKS = 80
"""The largest number of entries: 16 checks of 5 variants."""


@dataclass(frozen=True)
class Reported:
    """The entries of ``status.checks``, and the judgement with their messages, so that no message changes alone."""

    entries: list[dict[str, Any]]
    judgement: Judgement


def report(before: Sequence[dict[str, Any]], judgement: Judgement, candidate: str) -> Reported:
    """Returns the entries that follow ``before``, the present ``status.checks``.

    An entry stays as it is while its verdict is the same and its evidence has not doubled, because small clusters keep
    their objects on an SD card. Without a new measurement all entries stay.
    """
    mine = [item for item in before if item.get("revision") == candidate]
    if not judgement.measured:
        return Reported(mine, judgement)
    known = {(item["name"], item.get("variant", "")): item for item in mine}
    entries, judged = [], []
    for item in judgement.judged[:MAX_CHECKS]:
        old, entry = known.get((item.name, item.variant)), _entry(item, judgement, candidate)
        if old is not None and _is_of(old, judgement) and _says_the_same(old, entry):
            entry = old
        entries.append(entry)
        judged.append(replace(item, message=entry["message"]))
    return Reported(entries, replace(judgement, judged=tuple(judged)))


def _entry(judged: Judged, judgement: Judgement, candidate: str) -> dict[str, Any]:
    return {
        "name": judged.name,
        **({"variant": judged.variant} if judged.variant else {}),
        "revision": candidate,
        "verdict": judged.verdict.value,
        "observed": judged.observed,
        "limit": judged.limit,
        "sampleCount": judged.sample_count,
        **({"reason": judged.reason} if judged.reason else {}),
        **({"measuredAt": timestamp(judgement.measured_at)} if judgement.measured_at is not None else {}),
        "message": judged.message[:MAX_MESSAGE_LENGTH],
    }


def _is_of(entry: dict[str, Any], judgement: Judgement) -> bool:
    """Returns whether the entry is about the wave that is judged, not about an earlier one."""
    since = judgement.since
    return since is None or "measuredAt" not in entry or datetime.fromisoformat(entry["measuredAt"]) >= since


def _says_the_same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if (old["verdict"], old.get("reason")) != (new["verdict"], new.get("reason")):
        return False
    count, more = old.get("sampleCount", 0), new["sampleCount"]
    if not more:
        return count == more and _words(old["message"]) == _words(new["message"])
    return bool(count <= more < 2 * count)


def _words(message: str) -> str:
    """Returns the message without its numbers, which in a large fleet change with every measurement."""
    return re.sub(r"[0-9]+", "", message)
