"""Manifests and indexes: resolved, pulled with their digests checked, pushed, listed."""

import re
from dataclasses import dataclass
from typing import Any

from edgemodel.digest import canonical_json, digest_of, is_digest
from edgemodel.whole_number import whole_number

from .client import Host, Repository
from .descriptors import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    INDEXES,
    MANIFESTS,
    Descriptor,
    parse_json,
    texts_of,
)
from .errors import DigestMismatch, InvalidContent, RegistryNotFound
from .transport import read_within

MAX_MANIFEST_BYTES = 4 << 20
"""The largest manifest that Distribution accepts, in bytes."""

_ACCEPT = {"Accept": ", ".join((IMAGE_INDEX, IMAGE_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))}


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, as the registry holds it."""

    descriptor: Descriptor
    content: dict[str, Any]

    @property
    def is_index(self) -> bool:
        """True if it is an index of images."""
        return self.descriptor.media_type in INDEXES


def resolve(repository: Repository, version: str) -> Descriptor:
    """Returns the descriptor of a tag or digest. Raises RegistryNotFound, and as ``Repository.request``."""
    answer = repository.request("HEAD", f"manifests/{version}", headers=_ACCEPT)
    digest = answer.headers.get("Docker-Content-Digest", "")
    size = whole_number(answer.headers.get("Content-Length", ""))
    if not is_digest(digest) or size is None:  # an old registry sends no digest, so it is computed
        return get_manifest(repository, version).descriptor
    if is_digest(version) and digest != version:
        raise DigestMismatch(f"{repository}: manifest", version, digest)
    return Descriptor(_media_type(answer.headers.get("Content-Type", "")), digest, size)


def get_manifest(repository: Repository, version: str) -> Manifest:
    """Returns the manifest or index of a digest, checked against it, or of a tag, checked against the digest that the
    registry states.

    Raises RegistryNotFound, DigestMismatch, BlobTooLarge, InvalidContent, and as ``Repository.request``.
    """
    name = f"{repository}@{version}" if is_digest(version) else f"{repository}:{version}"
    answer = repository.request("GET", f"manifests/{version}", headers=_ACCEPT, stream=True)
    data = read_within(answer, MAX_MANIFEST_BYTES, f"the manifest of {name}")
    expected = version if is_digest(version) else answer.headers.get("Docker-Content-Digest")
    actual = digest_of(data)
    if expected is not None and expected != actual:
        raise DigestMismatch(f"{name}: manifest", expected, actual)
    content = parse_json(data, f"the manifest of {name}")
    media_type = str(content.get("mediaType") or _media_type(answer.headers.get("Content-Type", "")))
    if media_type not in INDEXES | MANIFESTS:
        raise InvalidContent(f"{name} is neither a manifest nor an index: {media_type!r}")
    return Manifest(Descriptor(media_type, actual, len(data)), content)


def put_manifest(repository: Repository, content: dict[str, Any], *, tag: str | None = None) -> Descriptor:
    """Pushes a manifest or index (its ``mediaType`` says which), under ``tag`` if given.

    Raises DigestMismatch when the registry stored other bytes, and as ``Repository.request``.
    """
    data = canonical_json(content)
    sent = Descriptor(content["mediaType"], digest_of(data), len(data))
    answer = repository.request(
        "PUT",
        f"manifests/{tag or sent.digest}",
        push=True,
        headers={"Content-Type": sent.media_type},
        body=data,
        expect=(201,),
    )
    stored = answer.headers.get("Docker-Content-Digest", sent.digest)
    if stored != sent.digest:
        raise DigestMismatch(f"{repository}: stored manifest", sent.digest, stored)
    return sent


def list_tags(repository: Repository) -> list[str]:
    """Returns all tags, in the registry's order; none for a repository that does not exist."""
    return _listed(repository, "tags/list?n=500", "tags")


def list_repositories(host: Host) -> list[str]:
    """Returns the names of all repositories, in the registry's order, including some whose manifests are all
    deleted.

    Raises as ``Repository.request``.
    """
    catalog = Repository(host, "")
    return _listed(catalog, f"{host.url}/v2/_catalog?n=500", "repositories", scope="registry:catalog:*")


def delete_manifest(repository: Repository, digest: str) -> None:
    """Deletes a manifest and thereby all its tags; does nothing if it is gone. Raises as ``Repository.request``."""
    scope = f"repository:{repository.name}:pull,push,delete"
    try:
        repository.request("DELETE", f"manifests/{digest}", scope=scope, expect=(202,))
    except RegistryNotFound:
        return


def _listed(repository: Repository, path: str | None, key: str, scope: str | None = None) -> list[str]:
    """Returns the items under ``key`` on all pages of a list; none if there is no such list."""
    found: list[str] = []
    while path:
        try:
            answer = repository.request("GET", path, scope=scope)
        except RegistryNotFound:
            return found
        what = f"the {key} of {repository}"
        found += texts_of(parse_json(answer.data, what), key, what)
        following = re.search(r"<([^>]+)>\s*;\s*rel=\"?next", answer.headers.get("Link", ""))
        path = repository.url(following[1]) if following else None
    return found


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip()
