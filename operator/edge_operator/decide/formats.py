"""The formats of times and messages in status."""

from datetime import UTC, datetime

MAX_MESSAGE_LENGTH = 1000


def timestamp(moment: datetime) -> str:
    """Returns the time as RFC 3339 in UTC with whole seconds, as the API server writes it."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
