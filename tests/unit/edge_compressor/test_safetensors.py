"""The check of weights before a user's converter gets them: valid ones pass, others have their reason."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_compressor.formats.safetensors import check_safetensors
from edge_compressor.models import safetensors
from edgemodel import reasons
from edgemodel.errors import Stalled
from tests.support import weights

FOUR = np.arange(4, dtype=np.float32)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Stalled) as caught:
        check_safetensors(path)
    assert caught.value.reason == reasons.SOURCE_INVALID
    assert caught.value.message.startswith("source: ")
    return caught.value.message.removeprefix("source: ")


def test_weights_of_every_type_and_shape_pass(tmp_path: Path) -> None:
    check_safetensors(
        weights.write(
            tmp_path / "m.safetensors",
            matrix=np.ones((3, 5), np.float32),
            double=np.ones(3),
            half=np.ones(3, np.float16),
            counts=np.arange(3),
            mask=np.ones(3, np.bool_),
            scalar=np.array(1.5, np.float32),
            nothing=np.ones((0, 4), np.float32),
        )
    )


def test_a_header_may_be_filled_up_with_spaces_and_list_its_weights_in_any_order(tmp_path: Path) -> None:
    header = b'{"b": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}, "a": '
    header += b'{"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}   '
    path = tmp_path / "m.safetensors"
    path.write_bytes(weights.packed(header, b"ab"))
    check_safetensors(path)


def torch_save() -> bytes:
    """Returns the beginning of a file of today's torch.save: a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (pickle.dumps({"weight": [1.0] * 20}), "it is a pickle (.pt, .bin, of torch.save), which can run any code"),
        (torch_save(), "it is a pickle (.pt, .bin, of torch.save), which can run any code"),
        (b"GGUF" + bytes(100), "it is not a safetensors file"),
        (b"\x08\x00\x00", "it is not a safetensors file"),
    ],
    ids=["empty", "pickle", "torch-save", "another-format", "cut-off"],
)
def test_another_format_is_reported_with_the_remedy(tmp_path: Path, content: bytes, said: str) -> None:
    message = refusal(tmp_path / "m", content)
    assert said in message
    assert message.endswith("save the weights with safetensors.torch.save_file")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ((2**63).to_bytes(8, "little") + b"{}", f"says that it has {2**63} bytes, limit 16777216 bytes"),
        ((1000).to_bytes(8, "little") + b"{}", "says that it has 1000 bytes, and the file has 10 in all"),
        (weights.packed(b"{'a': 1}"), "its header is not JSON that can be read"),
        (weights.packed(b'{"\xff": 1}'), "its header is not JSON that can be read"),
        (weights.packed(b'{"a":' * 100_000), "its header is not JSON that can be read"),
        (weights.packed(b'{"a": ' + b"1" * 10_000 + b"}"), "its header is not JSON that can be read"),
        (weights.packed(b'{"a": 1, "a": 2}'), "its header has a name twice"),
        (weights.packed({}), "it holds no weights"),
        (weights.packed({"__metadata__": {"format": "pt"}}), "it holds no weights"),
        (weights.packed({"__metadata__": {"depth": {"a": 1}}}), "__metadata__ has to hold texts by name"),
    ],
    ids=["bomb", "too-long", "quotes", "no-text", "deep", "long-number", "twice", "empty", "metadata-only", "metadata"],
)
def test_an_invalid_header_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refusal(tmp_path / "m", content)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": "OBJECT"}, "is of dtype OBJECT, want one of BOOL, U8"),
        ({"dtype": ["F32"]}, "is of dtype ['F32'], want one of"),
        ({"shape": 4}, "its shape is not a list of at most 32 sizes"),
        ({"shape": [-4]}, "its shape is not a list of at most 32 sizes"),
        ({"shape": [True] * 4}, "its shape is not a list of at most 32 sizes"),
        ({"shape": [1] * 33}, "its shape is not a list of at most 32 sizes"),
        ({"shape": [5]}, "F32 of shape [5] takes 20 bytes, and has 16"),
        ({"shape": [2**62, 2**62]}, "bytes, and has 16"),
        ({"data_offsets": [-16, 0]}, "its data_offsets are not two counts of bytes"),
        ({"data_offsets": [0, 8, 16]}, "its data_offsets are not two counts of bytes"),
        ({"data_offsets": [16, 0]}, "takes 16 bytes, and has -16"),
        ({"data_offsets": [4, 20]}, "leaves a hole before it: it begins at 4, want 0"),
        ({"data_offsets": [2**60, 2**60 + 16]}, "leaves a hole before it"),
        ({"path": "/etc/passwd"}, "needs dtype, shape and data_offsets, and nothing besides"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:40],
)
def test_a_weight_that_is_not_where_or_what_it_should_be_is_refused_by_its_name(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    header = {"layer.weight": weights.entry(FOUR) | changes}
    message = refusal(tmp_path / "m", weights.packed(header, FOUR.tobytes()))
    assert message.startswith("the weight 'layer.weight'")
    assert said in message


def test_weights_that_overlap_are_refused(tmp_path: Path) -> None:
    header = {"a": weights.entry(FOUR), "b": weights.entry(FOUR, 8)}
    message = refusal(tmp_path / "m", weights.packed(header, bytes(24)))
    assert message == "the weight 'b' overlaps the weight before it: it begins at 8, want 16"


@pytest.mark.parametrize("size", [15, 17])
def test_every_byte_belongs_to_a_weight_and_every_weight_is_there(tmp_path: Path, size: int) -> None:
    message = refusal(tmp_path / "m", weights.packed({"a": weights.entry(FOUR)}, bytes(size)))
    assert message == f"its weights take 16 bytes, and the file has {size} for them"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_weight_that_is_not_finite_is_named(tmp_path: Path, dtype: Any, value: float) -> None:
    wrong = np.array([1, value, -3, value, 60000], dtype)
    path = weights.write(tmp_path / "m", odd=np.ones(1, np.uint8), wrong=wrong)
    assert refusal(path, path.read_bytes()) == "2 of 5 values of the weight 'wrong' are not finite numbers"


@pytest.mark.parametrize(
    ("dtype", "bits", "count"),
    [
        ("BF16", np.array([0x3F80, 0x7F7F, 0xFF7F, 0x7F80, 0xFFC0], "<u2"), 2),
        ("F8_E5M2", np.array([0x3C, 0x7B, 0xFB, 0x7C, 0xFF], "u1"), 2),
        ("F8_E4M3", np.array([0x38, 0x7E, 0xFE, 0x7F, 0xFF], "u1"), 2),
    ],
)
def test_numbers_that_numpy_does_not_know_are_looked_at_too(tmp_path: Path, dtype: str, bits: Any, count: int) -> None:
    header = {"w": weights.entry(bits) | {"dtype": dtype}}
    assert refusal(tmp_path / "m", weights.packed(header, bits.tobytes())).startswith(f"{count} of 5 values")


def test_a_large_weight_is_looked_at_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "_CHUNK_BYTES", 64)
    values = np.ones(1000, np.float32)
    path = weights.write(tmp_path / "m", large=values)
    check_safetensors(path)
    values[-1] = np.nan
    weights.write(path, large=values)
    assert refusal(path, path.read_bytes()).startswith("1 of 1000 values")
