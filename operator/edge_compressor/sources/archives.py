"""Tars as sources: a set of files in one, unpacked into a folder that no entry leaves."""

import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Container
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

import zstandard

from edgemodel.error_words import in_words
from edgemodel.relative_name import check_name, check_names

_CHUNK_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MAGIC_AT: Final = 257
_MAGIC: Final = b"ustar"


class Unsound(Exception):
    """The tar cannot be a set of files; the text says why."""


def is_tar(path: Path) -> bool:
    """Returns whether the file is a tar, plain or compressed with gzip or zstd. Nothing of it is unpacked to a file."""
    with path.open("rb") as file, ExitStack() as opened:
        try:
            head = _plain(file, opened).read(_MAGIC_AT + len(_MAGIC))
        except _ERRORS:
            return False
    return head[_MAGIC_AT:] == _MAGIC


def unpack(
    path: Path, folder: Path, *, limit_bytes: int, max_files: int, taken: Container[str] | None = None
) -> dict[str, str]:
    """Unpacks the files of a tar into ``folder``, as a stream, and returns the digest of each by its name.

    If all files lie in one folder, that is left out of their names; not so for a tar that is a part of a set, whose
    other files are ``taken``. Raises Unsound for entries other than regular files and folders, for names outside of the
    folder, twice or in ``taken``, and for more than ``limit_bytes`` or ``max_files``.
    """
    made = folder.with_name(f"{folder.name}.unpacked")
    digests: dict[str, str] = {}
    try:
        with path.open("rb") as file, ExitStack() as opened:
            tar = opened.enter_context(tarfile.open(fileobj=_plain(file, opened), mode="r|"))
            for entry in tar:
                if entry.isdir():
                    continue
                name = check_name(entry.name.removeprefix("./"))
                if not entry.isreg():
                    raise Unsound(f"{name!r} is a link or a device in the tar: pack the file itself")
                limit_bytes -= entry.size
                if limit_bytes < 0:
                    raise Unsound("the files of the tar have more bytes than the limit")
                if name in digests or len(digests) == max_files:
                    raise Unsound(
                        f"{name!r} is twice in the tar" if name in digests else f"more than {max_files} files"
                    )
                digests[name] = _write(tar.extractfile(entry), made / name)
    except _ERRORS as error:
        raise Unsound(f"the tar cannot be read to its end: {in_words(error)}") from error
    except ValueError as error:
        raise Unsound(f"the tar: {in_words(error)}") from error
    moved = _moved(made, folder, digests, taken)
    shutil.rmtree(made)
    return moved


_ERRORS: Final = (tarfile.TarError, zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError)


def _plain(file: IO[bytes], opened: ExitStack) -> IO[bytes]:
    head = file.read(len(_ZSTD))
    file.seek(0)
    if head == _ZSTD:
        stream: Any = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
        return opened.enter_context(stream)
    if head.startswith(_GZIP):
        unpacked: Any = opened.enter_context(gzip.GzipFile(fileobj=file))
        return cast(IO[bytes], unpacked)
    return file


def _write(source: IO[bytes] | None, to: Path) -> str:
    assert source is not None, "a regular file"
    to.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    with to.open("wb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            hashed.update(chunk)
            target.write(chunk)
    return f"sha256:{hashed.hexdigest()}"


def _moved(made: Path, folder: Path, digests: dict[str, str], taken: Container[str] | None) -> dict[str, str]:
    """Moves the unpacked files to ``folder``, out of the one folder that may hold all of them."""
    if not digests:
        raise Unsound("the tar holds no files")
    check_names(digests)
    tops = {PurePosixPath(name).parts[0] for name in digests}
    alone = taken is None and len(tops) == 1 and not tops & digests.keys()
    top = f"{next(iter(tops))}/" if alone else ""
    found: dict[str, str] = {}
    for given, digest in digests.items():
        name = given.removeprefix(top)
        if taken is not None and name in taken:
            raise Unsound(f"{name!r} is in the tar, and beside it")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (made / given).rename(folder / name)
        found[name] = digest
    return found
