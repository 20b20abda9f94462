"""Events of controllers and the kubelet that say why a pod is not created, or does not start."""

import re
from collections.abc import Iterable
from typing import Final

from edge_operator.decide.observation import Refusal
from edge_operator.from_api.raw import Raw
from edgemodel import reasons

MISSING_SECRET: Final = "FailedToRetrieveImagePullSecret"  # noqa: S105 - the name of a reason
NO_VOLUME: Final = "FailedMount"
REFUSALS: Final = frozenset({"FailedCreate", MISSING_SECRET, NO_VOLUME})
"""The reasons of the Events that are read: those of the controllers of Jobs and DaemonSets, and of the kubelet."""

_PREAMBLE: Final = re.compile(r'^(\(combined from similar events\): )?(Error creating: )?(pods? "[^"]*" is )?')
"""The part of a message with the pod's random name, or with what changes as it is repeated, without which a status
would change at every attempt."""
_SECRETS: Final = re.compile(r"image pull secrets \(([^()]+)\)")
_NO_SECRET: Final = re.compile(r'secret "(?P<name>[^"]+)" not found')
_NO_KEY: Final = re.compile(r"references non-existent secret key: (?P<key>\S+)")
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
    newest = max(refused, key=_time)
    message = " ".join(str(newest.get("message") or "").split())
    if newest["reason"] == MISSING_SECRET and (names := _SECRETS.search(message)) is not None:
        return Refusal(_no_secret(names[1].split(", ")), is_final=True)
    if newest["reason"] == NO_VOLUME:
        return _no_volume(message)
    told = _PREAMBLE.sub("", message)
    return Refusal(told or "the Event has no message", is_final=_TRANSIENT.search(message) is None)


def _no_secret(names: list[str]) -> str:
    missing = f"Secret {names[0]} does" if len(names) == 1 else f"Secrets {', '.join(names)} do"
    return (
        f"the {missing} not exist in the namespace: create it with type kubernetes.io/dockerconfigjson, "
        "or correct spec.imagePullSecrets, or the chart's pull secrets"
    )


def _no_volume(message: str) -> Refusal | None:
    """Returns the refusal of a pod whose Secret is missing; None for another volume."""
    name, key = _NO_SECRET.search(message), _NO_KEY.search(message)
    if name is not None:
        told = f"the Secret {name['name']} does not exist in the namespace"
    elif key is not None:
        told = f"the Secret of the clients' key has no key {key['key']}"
    else:
        return None
    cure = "create it, or correct spec.serving.apiKeySecretRef"
    return Refusal(f"{told}: {cure}", is_final=True, reason=reasons.SECRET_NOT_FOUND)


def _time(event: Raw) -> str:
    """Returns the time of the last occurrence; such times sort as text, to the second."""
    series = event.get("series") or {}
    known = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max((time[:19] for time in known if time), default="")
