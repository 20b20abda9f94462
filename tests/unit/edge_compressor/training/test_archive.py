"""Hostile ``.pt2`` files: each is refused with its reason, and none of them has executed its payload."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edge_cli import main as cli
from edge_compressor.training import archive, program
from edgemodel import reasons
from edgemodel.errors import Stalled
from tests.unit.edge_compressor.training import programs
from tests.unit.edge_compressor.training.conftest import Site


class Command:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._proof}",)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


Change = Callable[[dict[str, bytes]], None]


def altered(source: Path, to: Path, change: Change) -> Path:
    with zipfile.ZipFile(source) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    with zipfile.ZipFile(to, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return to


def top(members: dict[str, bytes]) -> str:
    return next(iter(members)).partition("/")[0]


def refusal(path: Path) -> str:
    with pytest.raises(Stalled) as caught:
        program.load(path, what="source", reason=reasons.SOURCE_INVALID)
    assert caught.value.reason == reasons.SOURCE_INVALID
    assert caught.value.message.startswith("source: ")
    return caught.value.message


@pytest.mark.slow
def test_what_is_plain_is_loaded(site: Site) -> None:
    assert program.load(site.source, what="source", reason="X").outputs == 1


def test_a_pickle_is_refused(tmp_path: Path, proof: Path) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "m.pt2").write_bytes(pickle.dumps(Command(proof), protocol))
        assert "it is a pickle" in refusal(tmp_path / "m.pt2")
    (tmp_path / "m.pt2").write_bytes(pickle.dumps(Command(proof), 0))
    assert "not an ExportedProgram" in refusal(tmp_path / "m.pt2")
    assert not proof.exists()


def test_a_whole_module_and_a_state_dict_are_refused(tmp_path: Path) -> None:
    for value in (nn.Linear(2, 2), nn.Linear(2, 2).state_dict()):
        torch.save(value, tmp_path / "m.pt")
        assert "torch.save" in refusal(tmp_path / "m.pt")


@pytest.mark.slow
def test_a_pickled_weight_is_refused(site: Site, tmp_path: Path, proof: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        name = f"{top(members)}/data/weights/model_weights_config.json"
        config = json.loads(members[name])
        next(iter(config["config"].values()))["use_pickle"] = True
        members[name] = json.dumps(config).encode()
        members[f"{top(members)}/data/weights/weight_0"] = pickle.dumps(Command(proof))

    assert "is pickled" in refusal(altered(site.source, tmp_path / "m.pt2", change))
    assert not proof.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "data/constants/custom_obj_0", "data/constants/opaque_obj_0", "data/weights/payload.pkl", "data.pkl", "code.py",
        "data/aotinductor/model/run.so", "data/weights/../../../escape", "data/constants/tensor_0.so",
    ],
)  # fmt: skip
def test_a_member_that_is_unpickled_or_native_is_refused(site: Site, tmp_path: Path, proof: Path, name: str) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[f"{top(members)}/{name}"] = pickle.dumps(Command(proof))

    assert "refused" not in refusal(altered(site.source, tmp_path / "m.pt2", change))
    assert not proof.exists()


@pytest.mark.slow
def test_sample_inputs_that_are_a_command_do_not_run(site: Site, tmp_path: Path, proof: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        saved = io.BytesIO()
        torch.save(Command(proof), saved)
        members[f"{top(members)}/data/sample_inputs/model.pt"] = saved.getvalue()

    assert "cannot load it" in refusal(altered(site.source, tmp_path / "m.pt2", change))
    assert not proof.exists()


@pytest.mark.slow
def test_a_member_twice_is_refused(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(site.source.read_bytes())
    with zipfile.ZipFile(path, "a") as opened, pytest.warns(UserWarning, match="Duplicate name"):
        opened.writestr(opened.namelist()[0], b"another")
    assert "twice" in refusal(path)


@pytest.mark.slow
def test_a_bomb_is_refused_by_what_it_declares(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1 << 20)
    path = tmp_path / "m.pt2"
    path.write_bytes(site.source.read_bytes())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(f"{opened.namelist()[0].partition('/')[0]}/extra/zeros", bytes(2 << 20))
    assert path.stat().st_size < 1 << 20
    assert "bytes unpacked, limit 1048576 bytes" in refusal(path)


@pytest.mark.slow
def test_a_custom_operator_is_refused(tmp_path: Path) -> None:
    with torch.library._scoped_library("somebody", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        library.impl("twice", torch.empty_like, "Meta")

        class Network(nn.Module):
            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return torch.ops.somebody.twice(image)

        path = programs.save(Network(), tmp_path / "m.pt2")
        assert "operator somebody.twice.default is none of torch's own" in refusal(path)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 3, 4, 100, 5000])
def test_a_damaged_file_is_refused(site: Site, tmp_path: Path, size: int) -> None:
    (tmp_path / "m.pt2").write_bytes(site.source.read_bytes()[:size])
    refusal(tmp_path / "m.pt2")


@pytest.mark.slow
def test_a_graph_that_is_not_json_is_refused(site: Site, tmp_path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[f"{top(members)}/models/model.json"] = struct.pack("<Q", 7)

    assert "is not JSON" in refusal(altered(site.source, tmp_path / "m.pt2", change))


def test_the_command_line_checks_a_program_before_it_is_pushed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt2")
    assert cli.main(["push", str(tmp_path / "whole.pt2"), "oci://registry.example/m"]) == 3
    assert "export the model with torch.export" in capsys.readouterr().err


def with_bytes_at(path: Path, mark: bytes, offset: int, data: bytes) -> None:
    """Overwrites ``data`` at ``offset`` from the first ``mark``."""
    content = bytearray(path.read_bytes())
    at = content.index(mark) + offset
    content[at : at + len(data)] = data
    path.write_bytes(bytes(content))


def locked(path: Path) -> None:
    with_bytes_at(path, b"PK\x01\x02", 8, b"\x01\x00")


def damaged(path: Path) -> None:
    with_bytes_at(path, b"a_config.json", len(b"a_config.json"), b"\xff" * 8)


@pytest.mark.parametrize(
    ("config", "change", "want"),
    [
        ("[1]", None, "is not a valid list of weights"),
        ('{"config": [1]}', None, "is not a valid list of weights"),
        ('{"config": {"a": 3}}', None, "is not a valid list of weights"),
        ("{}", locked, "has a password: store it without"),
        ("{}" * 500, damaged, "its compressed data are damaged"),
    ],
)
def test_an_archive_that_cannot_be_read_is_refused_in_words(
    tmp_path: Path, config: str, change: Callable[[Path], None] | None, want: str
) -> None:
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("m/data/weights/a_config.json", config)
    if change is not None:
        change(path)
    with pytest.raises(archive.Unsafe, match=want):
        archive.check(path)
