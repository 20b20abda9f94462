"""From a judgement to ``status.checks``: written anew only when it means something else."""

from collections.abc import Sequence
from typing import Any

from edge_operator.decide.analysis.evidence import Judged
from edge_operator.decide.analysis.judge import Judgement
from edge_operator.decide.status import MESSAGE_MAX, timestamp

MAX_CHECKS = 80
"""16 checks of 5 variants."""


def report_checks(before: Sequence[dict[str, Any]], judgement: Judgement, candidate: str) -> list[dict[str, Any]]:
    """Entries of ``status.checks`` for what was judged on nodes; ``before`` is the whole list as it stands.

    An entry stays as it is while its verdict is the same and its evidence has not doubled: the store of a
    small cluster is an SD card. Without a new measurement all stay.
    """
    mine = [item for item in before if item.get("revision") == candidate]
    if not judgement.measured:
        return mine
    known = {(item["name"], item.get("variant", "")): item for item in mine}
    entries = []
    for judged in judgement.judged[:MAX_CHECKS]:
        old, new = known.get((judged.name, judged.variant)), _entry(judged, judgement, candidate)
        entries.append(old if old is not None and _says_the_same(old, new) else new)
    return entries


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
        "message": judged.message[:MESSAGE_MAX],
    }


def _says_the_same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if (old["verdict"], old.get("reason")) != (new["verdict"], new.get("reason")):
        return False
    count, more = old.get("sampleCount", 0), new["sampleCount"]
    return bool(count <= more < 2 * count or count == more)
