"""The parts that all kinds of objects have in common."""

from datetime import datetime
from typing import Any

Raw = dict[str, Any]
"""An object as the API server writes it in JSON."""


def find_condition(raw: Raw, kind: str) -> Raw | None:
    """Returns the condition of type ``kind``, or None."""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    found: Raw | None = next((item for item in conditions if item["type"] == kind), None)
    return found


def parse_time(text: str) -> datetime:
    """Returns the time of an RFC 3339 text. Raises ValueError for another text."""
    return datetime.fromisoformat(text)
