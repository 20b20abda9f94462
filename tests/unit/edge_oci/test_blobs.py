"""Blobs are transferred completely and verified, even over connections that break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_oci import blobs
from edge_oci.client import Repository
from edge_oci.descriptors import Descriptor
from edge_oci.errors import BlobTooLarge, DigestMismatch, RegistryError, RegistryNotFound, Unreachable
from edgemodel.digest import digest_of, digest_of_file
from tests.unit.edge_oci.conftest import Pauses
from tests.unit.edge_oci.faulty import Answer, Change, CutAnswer, CutRequest, FaultyProxy

Open = Callable[..., Repository]


def blob_of(path: Path) -> Descriptor:
    return Descriptor("application/octet-stream", digest_of_file(path), path.stat().st_size)


def test_a_file_travels_in_chunks_and_comes_back(
    registry: str, repository: Open, megabyte: Path, tmp_path: Path
) -> None:
    pushed = blobs.push_blob(repository(registry), megabyte, chunk_bytes=300_000)
    assert pushed == blob_of(megabyte)
    blobs.pull_blob(repository(registry), pushed, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == megabyte.read_bytes()
    assert not (tmp_path / "back.part").exists()


def test_what_the_registry_has_is_not_sent_again(proxy: FaultyProxy, repository: Open, megabyte: Path) -> None:
    blobs.push_blob(repository(proxy.host), megabyte, chunk_bytes=300_000)
    assert len(proxy.seen("PATCH")) == 3
    blobs.push_blob(repository(proxy.host), megabyte, chunk_bytes=300_000)
    assert len(proxy.seen("PATCH")) == 3


def test_a_blob_of_another_repository_is_mounted_without_moving(
    proxy: FaultyProxy, repository: Open, megabyte: Path, tmp_path: Path
) -> None:
    source, target = repository(proxy.host, "source"), repository(proxy.host, "target")
    blob = blobs.push_blob(source, megabyte)
    proxy.requests.clear()
    blobs.copy_blob(source, target, blob, tmp_path)
    assert blobs.has_blob(target, blob.digest)
    assert not proxy.seen("GET", "/blobs/")
    assert not proxy.seen("PUT")


def test_a_refused_mount_becomes_a_copy(proxy: FaultyProxy, repository: Open, megabyte: Path, tmp_path: Path) -> None:
    source, target = repository(proxy.host, "source"), repository(proxy.host, "target")
    blob = blobs.push_blob(source, megabyte)
    proxy.will("POST", "mount=", Answer(403))
    blobs.copy_blob(source, target, blob, tmp_path / "scratch")
    assert blobs.has_blob(target, blob.digest)
    assert not list((tmp_path / "scratch").iterdir())


def test_a_pull_cut_four_times_is_resumed(
    proxy: FaultyProxy, repository: Open, megabyte: Path, tmp_path: Path, pauses: Pauses
) -> None:
    blob = blobs.push_blob(repository(proxy.host), megabyte)
    proxy.will("GET", "/blobs/", *[CutAnswer(after=150_000)] * 4)
    blobs.pull_blob(repository(proxy.host), blob, tmp_path / "back")
    assert digest_of_file(tmp_path / "back") == blob.digest
    ranges = [request.headers.get("Range") for request in proxy.seen("GET", "/blobs/")]
    assert ranges == [None, "bytes=150000-", "bytes=300000-", "bytes=450000-", "bytes=600000-"]
    assert len(pauses.seconds) == 4


def test_a_pull_that_never_moves_on_is_given_up(
    proxy: FaultyProxy, repository: Open, megabyte: Path, tmp_path: Path, pauses: Pauses
) -> None:
    blob = blobs.push_blob(repository(proxy.host), megabyte)
    proxy.will("GET", "/blobs/", CutAnswer(after=1000), *[CutAnswer(after=0)] * 20)
    with pytest.raises(Unreachable, match="cut after 1000 of 1000000 bytes") as raised:
        blobs.pull_blob(repository(proxy.host), blob, tmp_path / "back")
    assert raised.value.transient
    assert pauses.seconds[0] < pauses.seconds[-1]


def test_a_registry_without_ranges_sends_all_again(
    proxy: FaultyProxy, repository: Open, megabyte: Path, tmp_path: Path
) -> None:
    blob = blobs.push_blob(repository(proxy.host), megabyte)
    whole = Answer(200, body=megabyte.read_bytes())
    proxy.will("GET", "/blobs/", CutAnswer(after=400_000), whole)
    blobs.pull_blob(repository(proxy.host), blob, tmp_path / "back")
    assert digest_of_file(tmp_path / "back") == blob.digest


def test_a_later_process_resumes_from_the_part(
    proxy: FaultyProxy, repository: Open, megabyte: Path, tmp_path: Path
) -> None:
    blob = blobs.push_blob(repository(proxy.host), megabyte)
    (tmp_path / "back.part").write_bytes(megabyte.read_bytes()[:700_000])
    seen: list[int] = []
    blobs.pull_blob(repository(proxy.host), blob, tmp_path / "back", progress=seen.append)
    assert proxy.seen("GET", "/blobs/")[-1].headers["Range"] == "bytes=700000-"
    assert digest_of_file(tmp_path / "back") == blob.digest
    assert seen[-1] == blob.size


@pytest.mark.parametrize("part", [b"x" * 1_000_000, b"x" * 1_000_001], ids=["as long", "longer"])
def test_a_part_of_something_else_is_dropped(
    registry: str, repository: Open, megabyte: Path, tmp_path: Path, part: bytes
) -> None:
    blob = blobs.push_blob(repository(registry), megabyte)
    (tmp_path / "back.part").write_bytes(part)
    blobs.pull_blob(repository(registry), blob, tmp_path / "back")
    assert digest_of_file(tmp_path / "back") == blob.digest


def test_a_corrupted_blob_is_refused_and_nothing_of_it_stays(
    proxy: FaultyProxy, repository: Open, megabyte: Path, tmp_path: Path
) -> None:
    blob = blobs.push_blob(repository(proxy.host), megabyte)
    proxy.will("GET", "/blobs/", Change(body=lambda body: b"X" + body[1:]))
    with pytest.raises(DigestMismatch) as raised:
        blobs.pull_blob(repository(proxy.host), blob, tmp_path / "back")
    assert raised.value.expected == blob.digest
    assert raised.value.actual != blob.digest
    assert not raised.value.transient
    assert {path.name for path in tmp_path.iterdir()} == {"megabyte"}


def test_a_blob_longer_than_announced_is_refused(
    registry: str, repository: Open, megabyte: Path, tmp_path: Path
) -> None:
    blob = blobs.push_blob(repository(registry), megabyte)
    with pytest.raises(BlobTooLarge, match="more than the 10 bytes"):
        blobs.pull_blob(repository(registry), Descriptor(blob.media_type, blob.digest, 10), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_small_blob_is_read_up_to_the_limit_and_not_beyond(registry: str, repository: Open) -> None:
    blob = blobs.push_blob(repository(registry), b"twelve bytes")
    assert blobs.read_blob(repository(registry), blob, max_bytes=12) == b"twelve bytes"
    with pytest.raises(BlobTooLarge, match="12 bytes, limit 11"):
        blobs.read_blob(repository(registry), blob, max_bytes=11)


def test_an_empty_blob_is_a_blob(registry: str, repository: Open) -> None:
    blob = blobs.push_blob(repository(registry), b"")
    assert blob.digest == digest_of(b"")
    assert blobs.read_blob(repository(registry), blob, max_bytes=0) == b""


def test_a_blob_that_is_not_there_is_not_found(registry: str, repository: Open, tmp_path: Path) -> None:
    missing = Descriptor("application/octet-stream", digest_of(b"missing"), 7)
    assert not blobs.has_blob(repository(registry), missing.digest)
    with pytest.raises(RegistryNotFound):
        blobs.pull_blob(repository(registry), missing, tmp_path / "back")


def test_a_broken_upload_is_begun_again(proxy: FaultyProxy, repository: Open, megabyte: Path, pauses: Pauses) -> None:
    proxy.will("PATCH", "/uploads/", CutRequest(after=1000), CutRequest(after=0))
    blobs.push_blob(repository(proxy.host), megabyte, chunk_bytes=300_000)
    assert blobs.has_blob(repository(proxy.host), digest_of_file(megabyte))
    assert len(proxy.seen("POST", "/uploads/")) == 3
    assert len(pauses.seconds) == 2


def test_an_upload_that_the_registry_forgot_is_begun_again(
    proxy: FaultyProxy, repository: Open, megabyte: Path
) -> None:
    proxy.will("PATCH", "/uploads/", Answer(404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'))
    blobs.push_blob(repository(proxy.host), megabyte, chunk_bytes=300_000)
    assert len(proxy.seen("POST", "/uploads/")) == 2


def test_an_upload_is_not_begun_again_for_ever(proxy: FaultyProxy, repository: Open, megabyte: Path) -> None:
    proxy.will("PUT", "/uploads/", *[CutRequest(after=0)] * 20)
    with pytest.raises(Unreachable):
        blobs.push_blob(repository(proxy.host), megabyte)
    assert len(proxy.seen("POST", "/uploads/")) == 3


def test_an_upload_that_is_not_allowed_is_not_tried_again(
    proxy: FaultyProxy, repository: Open, megabyte: Path, pauses: Pauses
) -> None:
    proxy.will("POST", "/uploads/", Answer(405, body=b"read-only"))
    with pytest.raises(RegistryError, match="405: read-only"):
        blobs.push_blob(repository(proxy.host), megabyte)
    assert not pauses.seconds


def test_other_bytes_at_the_registry_are_reported(registry: str, repository: Open) -> None:
    with pytest.raises(DigestMismatch):
        blobs.push_blob(repository(registry), b"these bytes", digest=digest_of(b"other bytes"))
