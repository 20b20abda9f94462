"""The same files make the same layer, whoever writes it and when."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from pathlib import Path

import pytest
import zstandard

from edge_oci.layers import (
    Compression,
    Directory,
    Entry,
    File,
    Symlink,
    compression_for,
    packed_bytes,
    tree,
    write_layer,
)
from edgemodel.digest import digest_of, digest_of_file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights" * 50_000)
    return path


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_a_layer_is_the_same_whenever_and_in_whatever_order_it_is_written(
    tmp_path: Path, model: Path, compression: Compression
) -> None:
    first = write_layer({"/model/model.onnx": model, "/model/a": b"a"}, tmp_path / "first", compression=compression)
    os.utime(model, (1, 1))
    model.chmod(0o600)
    second = write_layer({"model/a": b"a", "model/model.onnx": model}, tmp_path / "second", compression=compression)
    assert first.digest == second.digest == digest_of_file(tmp_path / "first")
    assert first.size == (tmp_path / "second").stat().st_size


def test_the_compression_changes_the_digest_and_not_the_diff_id(tmp_path: Path, model: Path) -> None:
    kinds: list[Compression] = ["zstd", "gzip", "none"]
    layers = [write_layer({"model/model.onnx": model}, tmp_path / kind, compression=kind) for kind in kinds]
    assert len({layer.digest for layer in layers}) == 3
    (diff_id,) = {layer.diff_id for layer in layers}
    plain = (tmp_path / "none").read_bytes()
    assert diff_id == layers[2].digest == digest_of(plain)
    assert gzip.decompress((tmp_path / "gzip").read_bytes()) == plain
    assert zstandard.ZstdDecompressor().decompressobj().decompress((tmp_path / "zstd").read_bytes()) == plain
    assert [layer.media_type.rpartition("+")[2] for layer in layers[:2]] == ["zstd", "gzip"]


def test_zstd_is_the_default(tmp_path: Path) -> None:
    assert write_layer({"a": b"a"}, tmp_path / "layer").media_type == "application/vnd.oci.image.layer.v1.tar+zstd"


def test_names_are_sorted_and_owners_and_times_are_zero(tmp_path: Path, model: Path) -> None:
    entries: dict[str, Entry | Path | bytes] = {
        "z": b"z",
        "model/model.onnx": model,
        "bin/tool": File(b"#!", 0o755),
        "bin/link": Symlink("tool"),
        "tmp": Directory(0o1777),
    }
    write_layer(entries, tmp_path / "layer", compression="none")
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "layer").read_bytes())) as tar:
        members = tar.getmembers()
    assert [(member.name, oct(member.mode)) for member in members] == [
        ("bin", "0o755"),
        ("bin/link", "0o777"),
        ("bin/tool", "0o755"),
        ("model", "0o755"),
        ("model/model.onnx", "0o644"),
        ("tmp", "0o1777"),
        ("z", "0o644"),
    ]
    assert {(member.uid, member.gid, member.mtime, member.uname) for member in members} == {(0, 0, 0, "")}
    assert members[1].linkname == "tool"


def test_a_tree_keeps_links_and_what_is_executable_and_no_other_mode(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "empty").mkdir(parents=True)
    (root / "tool").write_bytes(b"#!")
    (root / "tool").chmod(0o700)
    (root / "data").write_bytes(b"")
    (root / "data").chmod(0o666)
    (root / "link").symlink_to("tool")
    assert tree(root, "/usr/x") == {
        "usr/x/data": File(root / "data", 0o644),
        "usr/x/empty": Directory(),
        "usr/x/link": Symlink("tool"),
        "usr/x/tool": File(root / "tool", 0o755),
    }


@pytest.mark.parametrize("name", ["", "/", "../etc/passwd", "a/../../b"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a path inside an image"):
        write_layer({name: b""}, tmp_path / "layer")


def test_what_hardly_gets_smaller_travels_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(random.Random(0).randbytes(300_000))
    (tmp_path / "words").write_bytes(b"word " * 60_000)
    (tmp_path / "empty").write_bytes(b"")
    assert [compression_for(tmp_path / name, "zstd") for name in ("noise", "words")] == ["none", "zstd"]
    for name in ("noise", "words", "empty"):
        file = tmp_path / name
        packed = write_layer({name: file}, tmp_path / "layer", compression=compression_for(file, "zstd"))
        assert packed.size == pytest.approx(packed_bytes(file), abs=20 << 10)
