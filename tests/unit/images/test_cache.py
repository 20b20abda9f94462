"""A layer is in the cache completely, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charts.images import cache
from edge_oci.layers import Layer, write_layer


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/edgemodel-images"


class Writer:
    def __init__(self, content: bytes = b"content") -> None:
        self.content = content
        self.calls = 0

    def __call__(self, path: Path, scratch: Path) -> Layer:
        assert scratch.is_dir()
        assert not list(scratch.iterdir())
        self.calls += 1
        return write_layer({"file": self.content}, path, compression="gzip")


def test_a_layer_is_made_once() -> None:
    writer = Writer()
    first, second = cache.cached_layer("key", writer), cache.cached_layer("key", writer)
    assert first == second
    assert first.path.stat().st_size == first.size
    assert writer.calls == 1


def test_fresh_makes_it_again() -> None:
    cache.cached_layer("key", Writer(b"old"))
    assert cache.cached_layer("key", Writer(b"new"), fresh=True) == cache.cached_layer("key", Writer(b"unused"))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_leaves_nothing(own_cache: Path, interruption: type[BaseException]) -> None:
    def write(path: Path, scratch: Path) -> Layer:
        path.write_bytes(b"half a lay")
        (scratch / "root").mkdir()
        raise interruption

    with pytest.raises(interruption):
        cache.cached_layer("key", write)
    assert not list(own_cache.iterdir())
    writer = Writer()
    cache.cached_layer("key", writer)
    assert writer.calls == 1


def test_of_two_builders_the_first_wins_and_both_are_content() -> None:
    def slower(path: Path, scratch: Path) -> Layer:
        cache.cached_layer("key", Writer())  # somebody else, meanwhile
        return Writer()(path, scratch)

    assert cache.cached_layer("key", slower) == cache.cached_layer("key", Writer(b"unused"))


def test_layers_that_are_unused_for_a_month_are_dropped(own_cache: Path) -> None:
    for key in ("used", "unused"):
        cache.cached_layer(key, Writer())
        os.utime(own_cache / key, (0, 0))
    cache.cached_layer("used", Writer())
    cache.drop_unused()
    assert [path.name for path in own_cache.iterdir()] == ["used"]
