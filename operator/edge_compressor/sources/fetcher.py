"""Fetches sources: ``oci://``, ``https://``, ``http://``, ``pvc://``, and a local path for the command line.

Every file becomes a copy in the work folder, digested while it is written or right after, so that later changes of the
original have no effect.
"""

import errno
import hashlib
import re
import shutil
import stat
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess, pulling
from edge_compressor.sources import archives
from edge_compressor.sources.download import Downloader, Request, authorization_from, shown
from edge_oci import artifacts, manifests
from edge_oci.descriptors import Descriptor
from edge_oci.errors import InvalidReference
from edge_oci.references import parse_reference
from edge_oci.urls import NoUrl, check_url
from edgemodel import reasons
from edgemodel.compression_request import Source
from edgemodel.digest import Digest, digest_of_file, digest_of_files, parse_digest
from edgemodel.error_words import in_words
from edgemodel.errors import EdgeModelError, LargeSource, Stalled

Use = Literal["source", "teacher", "calibration", "evaluation", "training", "unlabeled"]

WHAT: Final[dict[Use, str]] = {
    "source": "source",
    "teacher": "teacher",
    "calibration": "calibration set",
    "evaluation": "evaluation set",
    "training": "training set",
    "unlabeled": "unlabeled set",
}
MODELS: Final = ("source", "teacher")


MAX_MODEL_BYTES: Final = 64 * 2**30
MAX_DATASET_BYTES: Final = 8 * 2**30


def limit_bytes(use: Use) -> int:
    """Returns the largest size of a source for ``use``, in bytes; of all its files together, if it is a folder."""
    return MAX_MODEL_BYTES if use in MODELS else MAX_DATASET_BYTES


_NO_SUCH_NAME: Final = (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
"""The system's errors for an impossible file name."""
MAX_FILES: Final = 10_000
"""The largest number of files in a folder."""
PACKED: Final = ("tar", "tar+gzip", "tar+zstd")
"""The ends of media types of tars in the CNCF ModelPack and in Docker's models."""
_CHUNK_BYTES: Final = 1 << 20
_CLAIM: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True)
class Fetched:
    """A copy of a file or folder, verified against its digest if one was given."""

    path: Path
    digest: str
    """The permanent digest: of the OCI manifest for ``oci://``, of all files for a folder, otherwise of the file."""
    uri: str
    """The URI without credentials and query, for messages."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The digest of each file of a folder, by its path within."""
    converter: Mapping[str, Any] | None = None
    """The converter that made ``path`` from the contents of ``uri``, with its digest and size; None without a
    converter."""


class Fetches(Protocol):
    """A way to get the files of a source."""

    def fetch(self, source: Source, use: Use, to: Path, *, folder: bool = False) -> Fetched:
        """Fetches as ``Fetcher.fetch`` does."""


@dataclass(frozen=True)
class Fetcher:
    """A fetcher. ``claims`` and ``secrets`` are the folders of mounted volumes and Secrets; None: there are none.

    ``allowed_hosts`` has entries such as host, host:port or ``*.domain``; empty: any.
    """

    access: RegistryAccess
    progress: Progress
    secrets: Path | None = None
    claims: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    local_paths: bool = False
    source_limit_bytes: int | None = None
    """The size above which a source is not fetched, if it is known before; None: any."""
    downloader: Downloader = field(default_factory=Downloader)

    def fetch(self, source: Source, use: Use, to: Path, *, folder: bool = False) -> Fetched:
        """Returns the file of ``source`` at ``to``; with ``folder`` it may be a set of files, which becomes a folder.

        A set is an artifact with several files, a folder on a volume or a local one, or a tar.

        Raises Stalled (SourceNotFound, SourceUnauthorized, SourceNotAllowed, DigestMismatch, and SourceInvalid or
        DatasetInvalid for too many bytes) or Transient (SourceUnreachable).
        """
        files: dict[str, str] = {}
        scheme, mark, _ = source.uri.partition("://")
        self.progress.say(f"fetching the {WHAT[use]}, {shown(source.uri) if mark else source.uri}")
        match scheme if mark else "":
            case "oci":
                return self._from_registry(source, use, to, folder=folder)
            case "https" | "http":
                self._over_http(source, use, to)
            case "pvc":
                place = self._in_claim(source, use)
                self._check_size(_size_of(place), use)
                files = _copy(place, to, use, folder=folder)
            case "" if self.local_paths:
                files = _copy(Path(source.uri), to, use, folder=folder)
            case _:
                raise _refused(use, f"{source.uri!r} has to begin with oci://, https://, http:// or pvc://")
        digest = digest_of_files(files) if to.is_dir() else digest_of_file(to)
        if source.digest is not None and source.digest != digest:
            shutil.rmtree(to) if to.is_dir() else to.unlink()
            message = f"{WHAT[use]}: expected {_digest(source.digest, use)}, got {digest}"
            raise Stalled(reasons.DIGEST_MISMATCH, message)
        if folder and not to.is_dir() and archives.is_tar(to):
            files = self._unpack(to, use)
        return Fetched(to, digest, shown(source.uri) if mark else source.uri, files)

    def _from_registry(self, source: Source, use: Use, to: Path, *, folder: bool) -> Fetched:
        try:
            reference = parse_reference(source.uri)
        except InvalidReference as error:
            raise Stalled(reasons.SOURCE_NOT_FOUND, f"{WHAT[use]}: {error}") from error
        if reference.host != self.access.own_host:
            self._check_host(reference.host, use)
        digests: dict[str, str] = {}
        with pulling(WHAT[use], invalid=_too_large(use)):
            repository = self.access.registries(use).repository(reference)
            manifest = manifests.resolve(repository, reference.version)
            found = artifacts.files_of(repository, manifest.digest)
            self._check_size(sum(blob.size for blob in found.values()), use)
            if folder and (len(found) > 1 or any(is_packed(blob) for blob in found.values())):
                artifacts.pull_artifact(repository, manifest.digest, to, max_bytes=limit_bytes(use))
                digests = self._unpack_parts(found, to, use)
            else:
                artifacts.pull_file(repository, manifest.digest, to, max_bytes=limit_bytes(use))
        return Fetched(to, manifest.digest, f"oci://{reference.at(manifest.digest)}", digests)

    def _unpack_parts(self, blobs: Mapping[str, Descriptor], folder: Path, use: Use) -> dict[str, str]:
        """Unpacks the tars among the files in ``folder`` there, and returns the digest of each file by its name."""
        digests = {name: blob.digest for name, blob in blobs.items() if not is_packed(blob)}
        for name, blob in blobs.items():
            if is_packed(blob):
                packed = folder.with_name(f"{folder.name}.tar")
                (folder / name).rename(packed)
                digests |= self._unpacked(packed, folder, use, taken=digests)
                packed.unlink()
        return digests

    def _unpack(self, file: Path, use: Use) -> dict[str, str]:
        """Replaces a tar by the folder of its files, whose digests it returns by name."""
        packed = file.with_name(f"{file.name}.tar")
        file.rename(packed)
        digests = self._unpacked(packed, file, use)
        packed.unlink()
        return digests

    def _unpacked(self, packed: Path, folder: Path, use: Use, taken: Container[str] | None = None) -> dict[str, str]:
        self.progress.say(f"unpacking the {WHAT[use]}")
        try:
            return archives.unpack(packed, folder, limit_bytes=limit_bytes(use), max_files=MAX_FILES, taken=taken)
        except archives.Unsound as error:
            raise Stalled(_too_large(use), f"{WHAT[use]}: {error}") from error

    def _over_http(self, source: Source, use: Use, to: Path) -> None:
        try:
            parts = urlsplit(check_url(source.uri))
        except NoUrl as error:
            raise Stalled(reasons.SOURCE_NOT_FOUND, f"{WHAT[use]}: {error}: correct the uri") from None
        if "@" in parts.netloc:
            raise _refused(use, "the uri holds a user or password: put them into a Secret and name it in secretRef")
        if parts.scheme == "http" and source.digest is None:
            raise _refused(use, "http:// is not encrypted: give the digest of the file, or use https://")
        self._check_host(parts.netloc, use)
        request = Request(
            what=WHAT[use],
            url=source.uri,
            limit_bytes=limit_bytes(use),
            permits=self._permits,
            authorization=authorization_from(self.secrets / use) if self.secrets else None,
            verified=source.digest is not None,
            too_large=_too_large(use),
            admit=lambda size, announced: self._admit(size, use, announced=announced),
        )
        try:
            self.downloader.load(
                request, to, lambda have: self.progress.count(WHAT[use], have, request.limit_bytes, "bytes at most")
            )
        except EdgeModelError:
            to.unlink(missing_ok=True)
            raise

    def _in_claim(self, source: Source, use: Use) -> Path:
        claim, _, path = source.uri.removeprefix("pvc://").partition("/")
        if not _CLAIM.fullmatch(claim) or not path or self.claims is None:
            raise _refused(use, f"{source.uri!r} is not pvc://CLAIM/PATH")
        try:
            folder = (self.claims / claim).resolve()
            file = (folder / path).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, names too long, zero bytes
            wrong = "its symbolic links lead in a circle" if isinstance(error, RuntimeError) else in_words(error)
            raise Stalled(reasons.SOURCE_NOT_FOUND, f"{WHAT[use]}: {source.uri!r}: {wrong}") from error
        if not file.is_relative_to(folder):
            raise _refused(use, f"{source.uri!r} leaves the volume")
        return file

    def _check_size(self, size_bytes: int, use: Use) -> None:
        """Raises LargeSource for a source that the memory and disk of the Job are not for."""
        limit = self.source_limit_bytes
        if use == "source" and limit is not None and size_bytes > limit:
            message = f"{WHAT[use]}: {size_bytes} bytes; the memory and disk of the Job are for {limit} bytes"
            raise LargeSource(reasons.INSUFFICIENT_MEMORY, message, size_bytes)

    def _admit(self, size_bytes: int, use: Use, *, announced: bool) -> None:
        """Raises as ``_check_size`` for an announced size, and Stalled if only a part of the source is known to be
        larger than the Job is for."""
        if announced:
            self._check_size(size_bytes, use)
        elif use == "source" and self.source_limit_bytes is not None and size_bytes > self.source_limit_bytes:
            message = f"{WHAT[use]}: more than {self.source_limit_bytes} bytes, for which the Job's memory and disk are"
            cure = "the server does not announce the size (Content-Length): push the source to a registry"
            raise Stalled(reasons.INSUFFICIENT_MEMORY, f"{message}; {cure}")

    def _check_host(self, netloc: str, use: Use) -> None:
        if not self._permits(netloc):
            raise _refused(use, f"host {netloc} is not on the list of allowed hosts ({', '.join(self.allowed_hosts)})")

    def _permits(self, netloc: str) -> bool:
        return not self.allowed_hosts or any(_matches(netloc.lower(), entry.lower()) for entry in self.allowed_hosts)


def _size_of(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder; 0 for one that is missing, or cannot be read."""
    try:
        files: Iterable[Path] = path.rglob("*") if path.is_dir() else (path,)
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0


def is_packed(blob: Descriptor) -> bool:
    """Returns whether a file of an artifact is a tar of files, as other tools pack them."""
    return blob.media_type.rpartition(".")[2] in PACKED


def _matches(netloc: str, entry: str) -> bool:
    """Returns whether ``entry`` matches: with a port only that port, without one every port; ``*.domain`` matches the
    hosts below it, not itself."""
    host = urlsplit(f"//{netloc}").hostname or ""
    if entry.startswith("*."):
        return host.endswith(entry[1:])
    return entry in (netloc, host)


def _copy(file: Path, to: Path, use: Use, *, folder: bool) -> dict[str, str]:
    """Copies a file, or the files of a folder, whose digests it returns by their path within."""
    limit = limit_bytes(use)
    try:
        status = file.stat()
        if folder and stat.S_ISDIR(status.st_mode):
            return _copy_folder(file, to, use)
        if not stat.S_ISREG(status.st_mode):
            raise Stalled(reasons.SOURCE_NOT_FOUND, f"{WHAT[use]}: {file} is not a file")
        if status.st_size > limit:
            raise Stalled(_too_large(use), f"{WHAT[use]}: {status.st_size} bytes, limit {limit} bytes")
        shutil.copyfile(file, to)
        return {}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Stalled(reasons.SOURCE_NOT_FOUND, f"{WHAT[use]}: there is no file {file}") from error
    except PermissionError as error:
        message = f"{WHAT[use]}: {file} cannot be read: make it readable to all users (the Job runs as user 65532)"
        raise Stalled(reasons.SOURCE_UNAUTHORIZED, message) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_SUCH_NAME:
            raise
        raise Stalled(reasons.SOURCE_NOT_FOUND, f"{WHAT[use]}: {in_words(error)}") from error


def _copy_folder(folder: Path, to: Path, use: Use) -> dict[str, str]:
    """Copies a folder. Raises Stalled for an entry that is not a regular file, and for too many files or bytes."""
    limit, left, files = limit_bytes(use), limit_bytes(use), dict[str, str]()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise Stalled(_too_large(use), f"{WHAT[use]}: {name} is a link or a device: put the file itself there")
        if file.is_dir():
            continue
        if len(files) == MAX_FILES:
            raise Stalled(_too_large(use), f"{WHAT[use]}: {folder} holds more than {MAX_FILES} files")
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        files[name] = _copy_at_most(file, to / name, left)
        left -= (to / name).stat().st_size
        if left < 0:
            raise Stalled(_too_large(use), f"{WHAT[use]}: the files of {folder} have more than {limit} bytes")
    if not files:
        raise Stalled(reasons.SOURCE_NOT_FOUND, f"{WHAT[use]}: there is no file in {folder}")
    return files


def _copy_at_most(file: Path, to: Path, limit: int) -> Digest:
    """Copies ``file`` as a stream, up to ``limit`` bytes, and returns the digest of the copy."""
    hashed = hashlib.sha256()
    with file.open("rb") as source, to.open("wb") as target:
        while limit >= 0 and (chunk := source.read(_CHUNK_BYTES)):
            hashed.update(chunk)
            target.write(chunk)
            limit -= len(chunk)
    return Digest(f"sha256:{hashed.hexdigest()}")


def _digest(text: str, use: Use) -> str:
    try:
        return parse_digest(text)
    except ValueError as error:
        raise Stalled(reasons.DIGEST_MISMATCH, f"{WHAT[use]}: {in_words(error)}") from error


def _too_large(use: Use) -> str:
    return reasons.SOURCE_INVALID if use in MODELS else reasons.DATASET_INVALID


def _refused(use: Use, message: str) -> Stalled:
    return Stalled(reasons.SOURCE_NOT_ALLOWED, f"{WHAT[use]}: {message}")
