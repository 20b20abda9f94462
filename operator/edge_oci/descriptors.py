"""Digests, descriptors and media types: how OCI names bytes."""

from dataclasses import dataclass, field
from typing import Any

from edgemodel import json_text
from edgemodel.digest import is_digest
from edgemodel.error_words import in_words

from .errors import InvalidContent

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
OCTETS = "application/octet-stream"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

INDEXES = frozenset({IMAGE_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({IMAGE_MANIFEST, DOCKER_MANIFEST})

TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Descriptor:
    """A descriptor of OCI: bytes by type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Returns the descriptor as OCI writes it in JSON."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return value | ({"annotations": self.annotations} if self.annotations else {})

    @classmethod
    def from_json(cls, value: Any) -> "Descriptor":
        """Raises InvalidContent when ``value`` is no descriptor with a sha256 digest."""
        try:
            media_type, digest, size = str(value["mediaType"]), str(value["digest"]), int(value["size"])
            annotations = {str(key): str(text) for key, text in (value.get("annotations") or {}).items()}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InvalidContent(f"not a descriptor: {str(value)[:200]}") from None
        if size < 0 or not is_digest(digest):
            raise InvalidContent(f"descriptor without a sha256 digest or with a negative size: {str(value)[:200]}")
        return cls(media_type, digest, size, annotations)


def parse_json(data: bytes, what: str) -> dict[str, Any]:
    """Returns ``data`` as a JSON object. Raises InvalidContent."""
    try:
        value = json_text.parse_json(data)
    except ValueError as error:
        raise InvalidContent(f"{what} is not JSON: {in_words(error)}") from None
    if not isinstance(value, dict):
        raise InvalidContent(f"{what} is not a JSON object")
    return value


def list_of(content: dict[str, Any], key: str, what: str) -> list[Any]:
    """Returns the list under ``key`` in ``content``; empty if there is none. Raises InvalidContent."""
    found = content.get(key) or []
    if not isinstance(found, list):
        raise InvalidContent(f"{what}: {key} is no list")
    return found


def object_of(content: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    """Returns the object under ``key`` in ``content``; empty if there is none. Raises InvalidContent."""
    found = content.get(key) or {}
    if not isinstance(found, dict):
        raise InvalidContent(f"{what}: {key} is not an object")
    return found


def texts_of(content: dict[str, Any], key: str, what: str) -> list[str]:
    """Returns the list of texts under ``key`` in ``content``; empty if there is none. Raises InvalidContent."""
    found = list_of(content, key, what)
    if not all(isinstance(each, str) for each in found):
        raise InvalidContent(f"{what}: {key} is not a list of strings")
    return found
