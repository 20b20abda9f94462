"""Explains why a node cannot pull an image: the message names the image, the registry and the Secrets, and says what to
change."""

import re
from dataclasses import dataclass
from typing import Final

from edge_operator.from_api.kubelet import container_reason
from edge_operator.from_api.raw import Raw
from edgemodel import reasons

MAX_KUBELET_CHARACTERS: Final = 400
"""The length of the kubelet's own words in a message, in characters; the longest image name fits beside it."""
PULL_SECRETS: Final = "spec.imagePullSecrets"

_BACK_OFF: Final = re.compile(r'^Back-off pulling image "[^"]*": (?=\w+: )')
"""The beginning of a message between two attempts; the rest is that of the attempt, so that a status stays as it is."""
_RPC: Final = re.compile(r"rpc error: code = \w+ desc = ")
_REFUSED: Final = re.compile(
    r"\b40[13]\b|unauthorized|forbidden|denied|authentication required|no basic auth|invalid username", re.IGNORECASE
)
_FOR_A_PERSON: Final = (
    (re.compile(r"no match for platform|no matching manifest", re.IGNORECASE), "the image is not built for this node"),
    (
        re.compile(r"not found|manifest unknown|name unknown|\b404\b", re.IGNORECASE),
        "{registry} has no such image: push it, or correct its name",
    ),
    (re.compile(r"x509|certificate"), "the node does not trust the certificate of {registry}: give its authority"),
    (
        re.compile(r"gave HTTP response to HTTPS client"),
        "{registry} speaks HTTP, and the node HTTPS: configure the node's container runtime for it",
    ),
)
"""The failures of pulls that last until a person acts, and their remedies."""
_FOR_TIME: Final = (
    (re.compile(r"no such host|server misbehaving"), "the node does not find the host {registry} by DNS"),
    (re.compile(r"\b429\b|toomanyrequests", re.IGNORECASE), "{registry} limits the rate of pulls"),
    (re.compile(r"no space left"), "the node's disk is full"),
    (
        re.compile(r"connection refused|timeout|deadline exceeded|no route|unreachable|reset by peer|EOF"),
        "the node does not reach {registry}",
    ),
)
_FINAL_WORDS: Final = {
    "InvalidImageName": "the name of the image is not valid: correct it",
    "ErrImageNeverPull": "the node may not pull, and lacks the image",
    "SignatureValidationFailed": "the node does not accept the signature of the image",
}


@dataclass(frozen=True)
class Pull:
    """A pull that fails. ``is_final`` is True if it fails until a person acts."""

    message: str
    is_final: bool


def failed_pull(pod: Raw, status: Raw) -> Pull | None:
    """Returns why the image of a container with ``status`` is not pulled; None if it waits for nothing of the
    kind."""
    waiting = (status.get("state") or {}).get("waiting") or {}
    word = waiting.get("reason")
    if container_reason(word) != reasons.IMAGE_PULL_FAILED:
        return None
    told = _RPC.sub("", _BACK_OFF.sub("", " ".join(str(waiting.get("message") or "").split())))
    image = _image(pod, status)
    secrets = [item["name"] for item in (pod.get("spec") or {}).get("imagePullSecrets") or () if item.get("name")]
    why, is_final = _explanation(str(word), told.replace(image, "") if image else told, registry_of(image), secrets)
    kubelet = told if told.startswith("Err") else f"{word}: {told}".removesuffix(": ")
    what = f"the node cannot pull {image}" if image else "the node cannot pull the image"
    return Pull(f"{what}: {why}{_shortened(kubelet)}", is_final)


def registry_of(image: str) -> str:
    """Returns the host of an image's registry, with its port; ``docker.io`` for a name without one."""
    first, slash, _ = image.partition("/")
    is_host = slash and (first == "localhost" or "." in first or ":" in first)
    return first if is_host else "docker.io"


def _explanation(word: str, told: str, registry: str, secrets: list[str]) -> tuple[str, bool]:
    """Returns the explanation with its remedy, and whether a person must act."""
    if word in _FINAL_WORDS:
        return f"{_FINAL_WORDS[word]}; ", True
    if _REFUSED.search(told):
        return f"{registry} refuses access; {_login_advice(registry, secrets)}; ", True
    for pattern, text in _FOR_A_PERSON:
        if pattern.search(told):
            return f"{text.format(registry=registry)}; ", True
    for pattern, text in _FOR_TIME:
        if pattern.search(told):
            return f"{text.format(registry=registry)}; ", False
    return "", False


def _login_advice(registry: str, secrets: list[str]) -> str:
    kind = "of type kubernetes.io/dockerconfigjson"
    if not secrets:
        return f"the pod has no pull secret: name a Secret {kind} with a login for {registry} in {PULL_SECRETS}"
    named = ", ".join(secrets)
    have = "the Secret" if len(secrets) == 1 else "one of the Secrets"
    return (
        f"{have} {named} must be {kind} and hold a login for {registry} that may pull this image: "
        f"correct it, or name another in {PULL_SECRETS}"
    )


def _image(pod: Raw, status: Raw) -> str:
    """Returns the image as the pod's spec has it; the kubelet's own name of it if the spec has no such container."""
    spec = pod.get("spec") or {}
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    found: Raw = next((item for item in containers if item.get("name") == status.get("name")), {})
    return str(found.get("image") or status.get("image") or "")


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_KUBELET_CHARACTERS else f"{text[: MAX_KUBELET_CHARACTERS - 1]}…"
