"""Writes the table of reasons into docs/reference/reasons.md: ``python docs/reasons.py``.

With ``--check`` it only compares.
The table is generated from ``edgemodel.reasons`` and the types of checks.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from docs.generated_table import GeneratedTable  # noqa: E402 - the path comes first
from edge_operator.decide.analysis import CHECKS  # noqa: E402
from edgemodel.reasons import REASONS, Kind, Reason, Topic  # noqa: E402

WHO = {
    Kind.STALLED: "you act",
    Kind.TRANSIENT: "it retries",
    Kind.PROGRESS: "it goes on",
    Kind.STEADY: "done",
}


def rows() -> Iterator[str]:
    """Yields the Markdown rows of the table, one for each reason, grouped by topic."""
    yield "| reason | who acts | meaning | remedy |"
    yield "|---|---|---|---|"
    for topic in Topic:
        yield f"| **{topic}** | | | |"
        for reason in _all().values():
            if reason.topic is topic:
                yield f"| {reason.word} | {WHO[reason.kind]} | {reason.meaning} | {reason.remedy} |"


def _all() -> dict[str, Reason]:
    """Returns every reason by its word: those of the project, and those that a type of check declares itself."""
    return {**REASONS, **{check.fails_with.word: check.fails_with for check in CHECKS.values()}}


TABLE = GeneratedTable("reasons", "docs/reasons.py", (ROOT / "docs" / "reference" / "reasons.md",), rows)


if __name__ == "__main__":
    sys.exit(TABLE.main(check="--check" in sys.argv[1:]))
