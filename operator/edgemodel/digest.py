"""Digests of bytes that exist, in the form ``sha256:<64 hex digits>``, and canonical JSON to hash."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NewType

Digest = NewType("Digest", str)

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Returns True for ``sha256:`` and 64 lower-case hex digits."""
    return _PATTERN.fullmatch(text) is not None


def parse_digest(text: str) -> Digest:
    """Returns ``text`` as a Digest. Raises ValueError unless ``is_digest``."""
    if not is_digest(text):
        raise ValueError(f"not a digest: {text!r} (want sha256: and 64 lower-case hexadecimal digits)")
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    """Returns the digest of ``data``."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_of_file(path: Path) -> Digest:
    """Returns the digest of a file, which is read as a stream. Raises OSError."""
    with path.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())


def digest_of_files(digests: Mapping[str, str]) -> Digest:
    """Returns the digest of a set of files, from the digest of each by its path."""
    return digest_of(canonical_json(dict(digests)))


def canonical_json(value: Any) -> bytes:
    """Returns the same bytes for equal values: sorted keys, no spaces, UTF-8. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
