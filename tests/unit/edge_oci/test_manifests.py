"""Manifests and indexes match their digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge_oci import blobs, manifests
from edge_oci.client import Repository
from edge_oci.descriptors import EMPTY_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST
from edge_oci.errors import BlobTooLarge, DigestMismatch, InvalidContent, RegistryNotFound
from edgemodel.digest import digest_of
from tests.unit.edge_oci.faulty import Answer, Change, FaultyProxy

Open = Callable[..., Repository]


def manifest_in(repository: Repository, **more: Any) -> dict[str, Any]:
    config = blobs.push_blob(repository, b"{}", media_type=EMPTY_CONFIG)
    return {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config.to_json(), "layers": [], **more}


def test_a_manifest_is_found_by_tag_and_by_digest(registry: str, repository: Open) -> None:
    own = repository(registry)
    content = manifest_in(own, annotations={"a": "ä"})
    pushed = manifests.put_manifest(own, content, tag="v1")
    for version in ("v1", pushed.digest):
        assert manifests.resolve(own, version) == pushed
        assert manifests.get_manifest(own, version) == manifests.Manifest(pushed, content)
    assert not manifests.get_manifest(own, "v1").is_index


def test_an_index_is_distinguished_from_a_manifest(registry: str, repository: Open) -> None:
    own = repository(registry)
    child = manifests.put_manifest(own, manifest_in(own))
    index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [child.to_json()]}
    pushed = manifests.put_manifest(own, index, tag="all")
    assert manifests.get_manifest(own, "all").is_index
    assert manifests.resolve(own, "all").media_type == IMAGE_INDEX
    assert pushed.digest != child.digest


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_other_bytes_under_the_same_name_are_refused(proxy: FaultyProxy, repository: Open, by: str) -> None:
    own = repository(proxy.host)
    pushed = manifests.put_manifest(own, manifest_in(own), tag="v1")
    proxy.will("GET", "/manifests/", Change(body=lambda body: body + b" "))
    with pytest.raises(DigestMismatch):
        manifests.get_manifest(own, "v1" if by == "tag" else pushed.digest)


def test_without_a_digest_header_the_manifest_is_read(proxy: FaultyProxy, repository: Open) -> None:
    own = repository(proxy.host)
    pushed = manifests.put_manifest(own, manifest_in(own), tag="v1")
    proxy.will("HEAD", "/manifests/", Answer(200))
    assert manifests.resolve(own, "v1") == pushed


def test_a_manifest_that_is_stored_otherwise_is_noticed(proxy: FaultyProxy, repository: Open) -> None:
    own = repository(proxy.host)
    content = manifest_in(own)
    proxy.will("PUT", "/manifests/", Answer(201, {"Docker-Content-Digest": digest_of(b"other")}))
    with pytest.raises(DigestMismatch, match="stored manifest"):
        manifests.put_manifest(own, content)


def test_a_manifest_without_end_is_not_read_to_its_end(proxy: FaultyProxy, repository: Open) -> None:
    proxy.will("GET", "/manifests/", Answer(200, body=b" " * (manifests.MAX_MANIFEST_BYTES + 2)))
    with pytest.raises(BlobTooLarge, match="more than 4194304 bytes"):
        manifests.get_manifest(repository(proxy.host), "v1")


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"<html>", "not JSON"), (b"[]", "not a JSON object"), (b'{"mediaType":"text/x"}', "neither a manifest nor")],
)
def test_invalid_manifests_are_refused(proxy: FaultyProxy, repository: Open, body: bytes, said: str) -> None:
    proxy.will("GET", "/manifests/", Answer(200, body=body))
    with pytest.raises(InvalidContent, match=said):
        manifests.get_manifest(repository(proxy.host), "v1")


def test_a_missing_tag_is_not_found(registry: str, repository: Open) -> None:
    for ask in (manifests.resolve, manifests.get_manifest):
        with pytest.raises(RegistryNotFound) as raised:
            ask(repository(registry), "missing")
        assert raised.value.status == 404
        assert not raised.value.transient


def test_tags_are_listed_over_several_pages(proxy: FaultyProxy, repository: Open) -> None:
    own = repository(proxy.host)
    path = f"/v2/{own.name}/tags/list?n=500&last=b"
    proxy.will("GET", "/tags/", Answer(200, {"Link": f'<{path}>; rel="next"'}, b'{"tags":["a","b"]}'))
    proxy.will("GET", "/tags/", Answer(200, body=b'{"tags":["c"]}'))
    assert manifests.list_tags(own) == ["a", "b", "c"]
    assert proxy.seen("GET", "/tags/")[-1].path == path


def test_repositories_are_listed_over_several_pages(proxy: FaultyProxy, repository: Open) -> None:
    path = "/v2/_catalog?last=b&n=500"
    proxy.will("GET", "/_catalog", Answer(200, {"Link": f'<{path}>; rel="next"'}, b'{"repositories":["a","b"]}'))
    proxy.will("GET", "/_catalog", Answer(200, body=b'{"repositories":["c"]}'))
    assert manifests.list_repositories(repository(proxy.host).host) == ["a", "b", "c"]
    assert proxy.seen("GET", "/_catalog")[-1].path == path


def test_a_repository_that_is_not_there_has_no_tags(registry: str, repository: Open) -> None:
    assert manifests.list_tags(repository(registry)) == []


def test_a_deleted_manifest_is_gone_and_may_be_deleted_again(registry: str, repository: Open) -> None:
    own = repository(registry)
    pushed = manifests.put_manifest(own, manifest_in(own), tag="v1")
    manifests.delete_manifest(own, pushed.digest)
    manifests.delete_manifest(own, pushed.digest)
    with pytest.raises(RegistryNotFound):
        manifests.resolve(own, "v1")
