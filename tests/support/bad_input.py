"""Bad inputs by the hundred: damaged bytes, odd files and wrong values, seeded so that they are the same in every
run."""

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

Damage = Callable[[bytes, Random], bytes]


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def _behead(data: bytes, random: Random) -> bytes:
    return data[random.randrange(1, len(data)) :]


def _zeros(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data))
    length = min(len(data) - start, random.choice((1, 4, 64, 4096)))
    return data[:start] + bytes(length) + data[start + length :]


def _swap(data: bytes, random: Random) -> bytes:
    first, second, third = sorted(random.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def _insert(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + random.randbytes(random.choice((1, 8, 100))) + data[start:]


def _twice(data: bytes, _: Random) -> bytes:
    return data + data


def _noise(data: bytes, random: Random) -> bytes:
    return random.randbytes(max(1, len(data)))


DAMAGES: Final[Mapping[str, Damage]] = {
    "flipped bits": _flip,
    "cut": _cut,
    "without its head": _behead,
    "a stretch of zeros": _zeros,
    "parts swapped": _swap,
    "bytes inserted": _insert,
    "twice": _twice,
    "noise": _noise,
}

OTHER_KINDS: Final[Mapping[str, bytes]] = {
    "empty": b"",
    "one byte": b"\x00",
    "a web page": b"<!doctype html><html><body>404 Not Found</body></html>",
    "JSON": b'{"a": [1, 2, {"b": null}]}',
    "deep JSON": b"[" * 100_000,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.",
    "a zip of nothing": b"PK\x05\x06" + bytes(18),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n",
    "gzip": b"\x1f\x8b\x08\x00" + bytes(30),
}


def damaged(data: bytes, count: int, seed: object) -> Iterator[tuple[str, bytes]]:
    """Yields ``count`` damaged versions of ``data``, the kinds of damage by turns, then files of other kinds.

    Each is (name, bytes). A version that equals ``data`` is left out.
    """
    random = Random(f"{seed}")
    for number in range(count):
        kind = list(DAMAGES)[number % len(DAMAGES)]
        made = DAMAGES[kind](data, random)
        if made != data:
            yield f"{kind} #{number}", made
    yield from OTHER_KINDS.items()


def wrongly_encoded(text: str) -> Iterator[tuple[str, bytes]]:
    """Yields ``text`` in the encodings of other programs, each as (name, bytes)."""
    yield "UTF-16", text.encode("utf-16")
    yield "UTF-16 without a mark", text.encode("utf-16-le")
    yield "UTF-32", text.encode("utf-32")
    yield "latin-1", ("# Größe\n" + text).encode("latin-1")
    yield "half a character", text.encode() + b"\xc3"
    yield "control characters", text.encode() + b"\x00\x07\x1b[31m"


def odd_places(folder: Path) -> Iterator[tuple[str, Path]]:
    """Creates and yields paths that are not regular files: (name, path). Programs must not wait for any of them."""
    yield "missing", folder / "nowhere" / "file"
    (folder / "a-folder").mkdir()
    yield "a folder", folder / "a-folder"
    (folder / "empty").write_bytes(b"")
    yield "empty", folder / "empty"
    (folder / "loop").symlink_to(folder / "loop")
    yield "a link to itself", folder / "loop"
    (folder / "dangling").symlink_to(folder / "gone")
    yield "a link to nothing", folder / "dangling"
    yield "below a file", folder / "empty" / "file"
    yield "a name too long", folder / ("n" * 300)
    os.mkfifo(folder / "pipe")
    yield "a pipe that nobody writes", folder / "pipe"
    with suppress(OSError), socket.socket(socket.AF_UNIX) as server:  # a path of 108 characters is the longest
        server.bind(str(folder / "socket"))
        yield "a socket", folder / "socket"
    yield "an endless device", Path("/dev/zero")
    yield "a device", Path("/dev/null")


WRONG_VALUES: Final[Sequence[Any]] = (
    None,
    True,
    0,
    -1,
    1.5,
    1e400,
    2**80,
    "",
    "text",
    "nan",
    " ",
    "\u0000",
    "x" * 5000,
    [],
    [None],
    [[]],
    ["text"],
    [{}],
    {},
    {"a": 1},
    {"": None},
)


def mutated(value: Any, count: int, seed: object) -> Iterator[tuple[str, Any]]:
    """Yields copies of a JSON value with one or a few wrong places: (the change, the copy).

    A place gets a value of another type, is removed, doubled or renamed, or gets an unknown member.
    """
    random = Random(f"{seed}")
    for number in range(count):
        copy = json.loads(json.dumps(value))
        said = []
        for _ in range(random.choice((1, 1, 1, 2))):
            places = list(_places(copy, ()))
            if not places:
                break
            path = random.choice(places)
            said.append(_change(copy, path, random))
        yield f"#{number} {'; '.join(said)}", copy


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from _places(child, (*path, key))


def _change(value: Any, path: tuple[Any, ...], random: Random) -> str:
    parent, key = value, path[-1]
    for step in path[:-1]:
        parent = parent[step]
    where = "/".join(map(str, path))
    way = random.choice(("replace", "replace", "replace", "remove", "rename", "add", "wrap"))
    if way == "remove":
        del parent[key]
    elif way == "rename" and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    elif way == "add" and isinstance(parent, dict):
        parent["unheardOf"] = random.choice(WRONG_VALUES)
    elif way == "wrap":
        parent[key] = [parent[key]]
    else:
        parent[key] = random.choice(WRONG_VALUES)
        return f"{where} = {str(parent[key])[:30]!r}"
    return f"{way} {where}"
