"""Image layers, whose bytes depend on their files alone, not on when or by whom they are written.

Law: ``write_layer(x, a).digest == write_layer(x, b).digest``. Names are sorted; owner 0:0; time 0. The ``diff_id`` (the
digest of the uncompressed tar) is the same across compressors and their versions.
"""

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol, cast

from .descriptors import LAYER_GZIP, LAYER_TAR, LAYER_ZSTD, Descriptor

Compression = Literal["zstd", "gzip", "none"]

ZSTD_LEVEL = 3  # as small as gzip on weights, nine times faster
GZIP_LEVEL = 6
MIN_GAIN = 0.05
"""The smallest share of a file's bytes that compression has to save; less is not worth the time on every node."""
_TAR_BYTES = 10 << 10
"""About the bytes of a tar besides those of its file."""
_SAMPLES = 16
_SAMPLE_BYTES = 1 << 18
_MEDIA_TYPES: Mapping[Compression, str] = {"zstd": LAYER_ZSTD, "gzip": LAYER_GZIP, "none": LAYER_TAR}


@dataclass(frozen=True)
class File:
    """A file of a layer, with its contents or their path."""

    source: Path | bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Symlink:
    """A symbolic link of a layer."""

    target: str


@dataclass(frozen=True)
class Directory:
    """A directory of a layer."""

    mode: int = 0o755


Entry = File | Symlink | Directory


@dataclass(frozen=True)
class Layer:
    """A layer that lies in a file, ready to be pushed."""

    path: Path
    media_type: str
    digest: str
    """The digest of the bytes in ``path``, as they are pushed."""
    size: int
    """The size in bytes, as pushed."""
    diff_id: str
    """The digest of the tar before compression."""
    unpacked_bytes: int

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the layer as it is pushed."""
        return Descriptor(self.media_type, self.digest, self.size)


def write_layer(
    entries: Mapping[str, Entry | Path | bytes],
    path: Path,
    *,
    compression: Compression = "zstd",
) -> Layer:
    """Writes ``entries`` (path in the image -> what is there) as one layer to ``path``.

    A Path or bytes is a file with mode 0644. Directories that are not named get mode 0755.
    Raises ValueError for a path in the image that is empty or has ``..``.
    """
    named = {_inside(name): entry for name, entry in entries.items()}
    every = {parent: Directory() for name in named for parent in _parents(name)} | named
    with path.open("wb") as out:
        packed = _Meter(out)
        packer = _packer(packed, compression)
        unpacked = _Meter(packer)
        # GNU rather than PAX: nothing here needs more, and no extended header can carry a time.
        with tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="w|", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(every):
                _add(tar, name, every[name])
        if packer is not packed:
            packer.close()
    return Layer(path, _MEDIA_TYPES[compression], packed.digest, packed.size, unpacked.digest, unpacked.size)


def tree(root: Path, prefix: str = "") -> dict[str, Entry]:
    """Returns everything below ``root``, as entries below ``prefix``. Modes become 0755 or 0644, by the owner's x."""
    entries: dict[str, Entry] = {}
    for path in sorted(root.rglob("*")):
        name = f"{prefix.strip('/')}/{path.relative_to(root)}".lstrip("/")
        if path.is_symlink():
            entries[name] = Symlink(str(path.readlink()))
        elif path.is_dir():
            entries[name] = Directory()
        elif path.is_file():
            entries[name] = File(path, 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    return entries


def compression_for(file: Path, compression: Compression) -> Compression:
    """Returns ``compression``, or none for a file that it would hardly make smaller, by samples spread over it.

    Quantized and most trained weights are such files.
    """
    size = file.stat().st_size
    given = packed = 0
    with file.open("rb") as opened:
        for number in range(_SAMPLES):
            opened.seek(max(0, size - _SAMPLE_BYTES) * number // max(1, _SAMPLES - 1))
            sample = opened.read(_SAMPLE_BYTES)
            given += len(sample)
            packed += len(zlib.compress(sample, 1))
            if size <= _SAMPLE_BYTES:
                break
    return compression if packed <= given * (1 - MIN_GAIN) else "none"


def packed_bytes(file: Path, compression: Compression = "zstd") -> int:
    """Returns the size in bytes of a layer with this file alone, packed as ``compression_for`` says."""
    if compression_for(file, compression) == "none":
        return _TAR_BYTES + file.stat().st_size
    return write_layer({file.name: file}, Path(os.devnull), compression=compression).size


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def close(self) -> None: ...


class _Meter:
    """A file that passes bytes on, and keeps their digest and number."""

    def __init__(self, out: "_Sink | IO[bytes]") -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._out.write(data)
        return len(data)

    def flush(self) -> None:
        """Does nothing: the compressors call it, and the file below is flushed when it is closed."""

    def close(self) -> None:
        """Does nothing: the owner of the file below closes it."""

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _packer(out: _Meter, compression: Compression) -> "_Sink":
    if compression == "none":
        return out
    if compression == "gzip":
        return cast(_Sink, gzip.GzipFile("", "wb", GZIP_LEVEL, cast(IO[bytes], out), mtime=0))
    import zstandard  # the operator speaks to registries and writes no layers: its image is without it

    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    return cast(_Sink, compressor.stream_writer(cast(IO[bytes], out), closefd=False))


def _add(tar: tarfile.TarFile, name: str, entry: Entry | Path | bytes) -> None:
    info = tarfile.TarInfo(name)  # owner 0:0 and time 0 are what a TarInfo begins with
    match entry:
        case Directory(mode):
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        case Symlink(target):
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, target
            tar.addfile(info)
        case File(source, mode):
            info.mode = mode
            _add_file(tar, info, source)
        case _:
            info.mode = 0o644
            _add_file(tar, info, entry)


def _add_file(tar: tarfile.TarFile, info: tarfile.TarInfo, source: Path | bytes) -> None:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        info.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        tar.addfile(info, file)


def _inside(name: str) -> str:
    bare = name.strip("/")
    if not bare or ".." in bare.split("/"):
        raise ValueError(f"not a path inside an image: {name!r}")
    return bare


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]
