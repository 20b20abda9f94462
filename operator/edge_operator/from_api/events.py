"""Events of controllers and the kubelet that say why a pod is not created, or does not start."""

import re
from collections.abc import Iterable
from typing import Final

from edge_operator.decide.observation import Refusal
from edge_operator.from_api.raw import Raw

REFUSALS: Final = frozenset({"FailedCreate", "FailedToRetrieveImagePullSecret"})
"""The reasons of the Events that are read: those of the controllers of Jobs and DaemonSets, and of the kubelet."""

_PREAMBLE: Final = re.compile(r'^(\(combined from similar events\): )?(Error creating: )?(pods? "[^"]*" is )?')
"""The part of a message with the pod's random name, or with what changes as it is repeated, without which a status
would change at every attempt."""
_TRANSIENT: Final = re.compile(
    r"failed calling webhook|internal error|timeout|timed out|deadline exceeded|connection refused|too many requests"
    r"|etcdserver|unable to handle|being terminated|no endpoints available|object has been modified",
    re.IGNORECASE,
)
"""The parts of messages that time may heal; every other refusal will meet the next pod as well."""


def read_refusal(events: Iterable[Raw]) -> Refusal | None:
    """Returns the newest refusal among the Events of one object; None if there is none."""
    refused = [event for event in events if event.get("reason") in REFUSALS]
    if not refused:
        return None
    message = " ".join(str(max(refused, key=_time).get("message") or "").split())
    told = _PREAMBLE.sub("", message)
    return Refusal(told or "the Event has no message", is_final=_TRANSIENT.search(message) is None)


def _time(event: Raw) -> str:
    """Returns the time of the last occurrence; such times sort as text, to the second."""
    series = event.get("series") or {}
    known = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max((time[:19] for time in known if time), default="")
