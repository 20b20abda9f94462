"""Blobs: pushed in chunks, mounted, and pulled with their digests checked; broken pulls are resumed."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError

from edgemodel.digest import digest_of, digest_of_file
from edgemodel.error_words import in_words
from edgemodel.whole_number import whole_number

from .client import Repository
from .descriptors import OCTETS, Descriptor
from .errors import BlobTooLarge, DigestMismatch, OciError, RegistryError, RegistryNotFound, Unreachable
from .transport import Response, continues

CHUNK_BYTES = 16 << 20
_READ_BYTES = 1 << 20
_MAX_UPLOADS = 3
# The errors of a lost or inconsistent upload: it cannot be continued, but a new one may succeed.
_UPLOAD_LOST = frozenset({404, 416})


def has_blob(repository: Repository, digest: str) -> bool:
    """Returns whether the repository has the blob. Raises as ``Repository.request``, except RegistryNotFound."""
    try:
        repository.request("HEAD", f"blobs/{digest}")
    except RegistryNotFound:
        return False
    return True


def read_blob(repository: Repository, blob: Descriptor, *, max_bytes: int) -> bytes:
    """Returns a small blob. Raises BlobTooLarge before anything is read, DigestMismatch, and as ``request``."""
    if blob.size > max_bytes:
        raise BlobTooLarge(f"{repository}: {blob.digest} has {blob.size} bytes, limit {max_bytes}")
    buffer = io.BytesIO()
    _Pull(repository, blob, buffer).run()
    return buffer.getvalue()


def pull_blob(
    repository: Repository, blob: Descriptor, path: Path, *, progress: Callable[[int], None] | None = None
) -> None:
    """Pulls a blob to ``path``, which appears complete and verified or not at all.

    Bytes gather in ``<path>.part``; a later call continues from there. ``progress`` gets the number of bytes so far.
    Raises DigestMismatch or BlobTooLarge (the part is deleted), and as ``Repository.request``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("ab+") as file:
        try:
            _Pull(repository, blob, file, progress).run()
        except (DigestMismatch, BlobTooLarge):
            part.unlink(missing_ok=True)
            raise
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def push_blob(
    repository: Repository,
    source: bytes | Path,
    *,
    media_type: str = OCTETS,
    digest: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Descriptor:
    """Uploads ``source`` unless the registry has it; at most ``chunk_bytes`` of it are in memory at a time.

    ``digest``, if known, saves one reading of the file. Raises DigestMismatch if the registry received other bytes, and
    as ``Repository.request``.
    """
    known = digest or (digest_of(source) if isinstance(source, bytes) else digest_of_file(source))
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        blob = Descriptor(media_type, known, file.seek(0, os.SEEK_END))
        if not has_blob(repository, known):
            _upload(repository, file, blob, chunk_bytes)
    return blob


def mount_blob(repository: Repository, digest: str, *, source: str) -> bool:
    """Mounts a blob of repository ``source`` of the same registry, without a transfer. Returns False if that was
    refused."""
    query = urlencode({"mount": digest, "from": source})
    try:
        answer = repository.request("POST", f"blobs/uploads/?{query}", push=True, mount_from=source, expect=(201, 202))
    except RegistryError as error:
        if error.transient:
            raise
        return False  # no right to read there: the caller copies instead
    if answer.status == 201:
        return True
    _abandon(repository, answer)
    return False


def copy_blob(source: Repository, target: Repository, blob: Descriptor, scratch: Path) -> None:
    """Makes ``blob`` of ``source`` available in ``target``: it is there already, is mounted, or is copied by a file in
    ``scratch``."""
    if has_blob(target, blob.digest):
        return
    if source.host.name == target.host.name and mount_blob(target, blob.digest, source=source.name):
        return
    path = scratch / blob.digest.replace(":", "-")
    pull_blob(source, blob, path)
    push_blob(target, path, digest=blob.digest)
    path.unlink()


class _Pull:
    """The download of one blob into one file, over as many connections as it takes."""

    def __init__(
        self, repository: Repository, blob: Descriptor, file: BinaryIO, progress: Callable[[int], None] | None = None
    ) -> None:
        self._repository, self._blob, self._file = repository, blob, file
        self._progress = progress or (lambda _: None)
        self._have = 0
        self._hash = hashlib.sha256()

    def run(self) -> None:
        self._take_what_is_there()
        patience = self._repository.host.transport.patience
        failures = 0
        while self._have < self._blob.size:
            before = self._have
            try:
                self._stream()
                if self._have < self._blob.size:
                    raise Unreachable(f"{self._name}: ended after {self._have} of {self._blob.size} bytes")
            except Unreachable as error:
                failures = 1 if self._have > before else failures + 1  # a pull that makes progress may be cut again
                if failures >= patience.tries or not error.worth_a_retry:
                    raise
                patience.pause(failures)
        self._verify()

    @property
    def _name(self) -> str:
        return f"{self._repository}@{self._blob.digest}"

    def _take_what_is_there(self) -> None:
        self._file.seek(0)
        while data := self._file.read(_READ_BYTES):
            self._hash.update(data)
            self._have += len(data)
        if self._have > self._blob.size or (self._have == self._blob.size and self._digest() != self._blob.digest):
            self._begin_again()  # the rest of some other download

    def _begin_again(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._have, self._hash = 0, hashlib.sha256()

    def _stream(self) -> None:
        headers = {"Accept-Encoding": "identity"}
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
        answer = self._repository.request(
            "GET", f"blobs/{self._blob.digest}", headers=headers, expect=(200, 206), stream=True
        )
        try:
            if self._have and not continues(answer, self._have):
                self._begin_again()
            for data in answer.stream(_READ_BYTES, decode_content=False):
                self._take(data)
        except (HTTPError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                raise  # the disk, not the network
            raise Unreachable(
                f"{self._name}: cut after {self._have} of {self._blob.size} bytes: {in_words(error)}"
            ) from error
        finally:
            answer.close()

    def _take(self, data: bytes) -> None:
        if self._have + len(data) > self._blob.size:
            raise BlobTooLarge(f"{self._name}: more than the {self._blob.size} bytes that were announced")
        self._file.write(data)
        self._hash.update(data)
        self._have += len(data)
        self._progress(self._have)

    def _digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def _verify(self) -> None:
        if self._digest() != self._blob.digest:
            raise DigestMismatch(f"{self._repository}: blob", self._blob.digest, self._digest())


def _upload(repository: Repository, file: BinaryIO, blob: Descriptor, chunk_bytes: int) -> None:
    """Uploads ``blob`` from its first byte: Distribution 2.8 cannot resume a broken upload."""
    patience = repository.host.transport.patience
    for attempt in range(1, _MAX_UPLOADS + 1):
        try:
            return _upload_once(repository, file, blob, chunk_bytes)
        except OciError as error:
            lost = isinstance(error, RegistryError) and (error.status in _UPLOAD_LOST or "BLOB_UPLOAD" in str(error))
            if attempt == _MAX_UPLOADS or not (error.transient or lost):
                raise
        patience.pause(attempt)


def _upload_once(repository: Repository, file: BinaryIO, blob: Descriptor, chunk_bytes: int) -> None:
    opened = repository.request("POST", "blobs/uploads/", push=True, expect=(202,))
    location = repository.url(opened.headers.get("Location"))
    step = max(chunk_bytes, whole_number(opened.headers.get("OCI-Chunk-Min-Length", "")) or 0)
    file.seek(0)
    sent = 0
    while blob.size - sent > step:
        data = file.read(step)
        # A chunk whose answer is lost may have been stored: only a new upload is safe.
        answer = repository.request(
            "PATCH",
            location,
            push=True,
            headers={"Content-Type": OCTETS, "Content-Range": f"{sent}-{sent + len(data) - 1}"},
            body=data,
            expect=(202,),
            tries=1,
        )
        sent += len(data)
        location = repository.url(answer.headers.get("Location"))
    mark = "&" if "?" in location else "?"
    try:
        repository.request(
            "PUT",
            f"{location}{mark}{urlencode({'digest': blob.digest})}",
            push=True,
            headers={"Content-Type": OCTETS},
            body=file.read(),
            expect=(201,),
            tries=1,
        )
    except RegistryError as error:
        if error.status == 400 and "DIGEST_INVALID" in str(error):
            raise DigestMismatch(f"{repository}: uploaded blob", blob.digest, "other bytes") from error
        raise


def _abandon(repository: Repository, opened: Response) -> None:
    """Cancels an upload that a refused mount has opened; otherwise the registry would keep it until it expires."""
    try:
        repository.request(
            "DELETE", repository.url(opened.headers.get("Location")), push=True, expect=(202, 204), tries=1
        )
    except OciError:
        return
