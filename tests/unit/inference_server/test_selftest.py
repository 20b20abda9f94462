"""The golden self-test with functions in place of models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.signature import Signature
from edgemodel.artifact import Golden, Tensor
from inference_server.models.selftest import GoldenInvalid, GoldenResult, run_golden

Array = np.ndarray[Any, np.dtype[Any]]
SCORES = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]


def signature(inputs: tuple[int, ...] = (-1, 2), outputs: tuple[int, ...] = (-1, 3)) -> Signature:
    return Signature({"x": Tensor("x", "FP32", inputs)}, {"y": Tensor("y", "FP32", outputs)})


def replay(answers: Array) -> Any:
    """Returns a model that answers with the row of ``answers`` that each input row numbers."""

    def run(feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        assert list(outputs) == ["y"]
        return [answers[feeds["x"][:, 0].astype(int)]]

    return run


def run_test(
    tmp_path: Path,
    recorded: Array,
    answers: Array,
    *,
    agreement: str = "Argmax",
    tolerance: float = 0.0,
    min_percent: str = "100",
    declared: Signature | None = None,
) -> GoldenResult:
    items = len(recorded)
    save(tmp_path, {"input.x": numbered(items), "output.y": recorded})
    golden = Golden(items, agreement, tolerance, min_percent)
    return run_golden(replay(answers), declared or signature(), golden, tmp_path / "golden.npz")


def save(directory: Path, arrays: Mapping[str, Any]) -> None:
    np.savez(directory / "golden.npz", **arrays)


def numbered(items: int) -> Array:
    return np.stack([np.arange(items), np.zeros(items)], axis=1).astype(np.float32)


def test_every_item_of_an_unchanged_model_agrees(tmp_path: Path) -> None:
    result = run_test(tmp_path, SCORES, SCORES)
    assert (result.agree, result.items, result.passed) == (4, 4, True)


def test_argmax_compares_classes_not_values(tmp_path: Path) -> None:
    assert run_test(tmp_path, SCORES, SCORES * 0.4 + 0.1).agree == 4


def test_the_message_has_observed_and_limit(tmp_path: Path) -> None:
    result = run_test(tmp_path, SCORES, np.roll(SCORES, 1, axis=0), min_percent="99.5")
    assert not result.passed
    assert str(result) == "golden set agrees on 25 %, limit 99.5 % (n = 4)"


def test_the_limit_itself_passes(tmp_path: Path) -> None:
    answers = SCORES.copy()
    answers[3] = answers[1]
    assert run_test(tmp_path, SCORES, answers, min_percent="75").passed
    assert not run_test(tmp_path, SCORES, answers, min_percent="75.000000000000000001").passed


def test_a_nan_agrees_with_no_class(tmp_path: Path) -> None:
    assert run_test(tmp_path, SCORES, SCORES * np.nan).agree == 0


def test_close_is_relative_to_the_spread_of_each_channel_over_all_items(tmp_path: Path) -> None:
    """The first column is a hundred times as large as the second: an error of 0.5 is little there and much here."""
    recorded = np.random.default_rng(2).standard_normal((16, 2)).astype(np.float32) * np.float32([100, 1])
    answers = recorded.copy()
    answers[3, 0] += 0.5
    answers[5, 1] += 0.5
    assert run_test(tmp_path, recorded, answers, agreement="Close", tolerance=0.05).agree == 15


def test_close_wants_nan_where_nan_was_recorded(tmp_path: Path) -> None:
    recorded = np.array([[np.nan, 1, 2], [0, 1, 2]], np.float32)
    answers = np.array([[np.nan, 1, 2], [np.nan, 1, 2]], np.float32)
    assert run_test(tmp_path, recorded, answers, agreement="Close", tolerance=0.1).agree == 1


def test_an_answer_of_another_shape_disagrees(tmp_path: Path) -> None:
    assert run_test(tmp_path, SCORES, SCORES[:, :2]).agree == 0
    assert run_test(tmp_path, SCORES, SCORES[:, :2], agreement="Close", tolerance=1).agree == 0


def test_a_model_with_a_fixed_batch_takes_items_in_batches(tmp_path: Path) -> None:
    assert run_test(tmp_path, SCORES, SCORES, declared=signature(inputs=(2, 2))).agree == 4
    with pytest.raises(GoldenInvalid, match="4 golden items do not fill runs of 3"):
        run_test(tmp_path, SCORES, SCORES, declared=signature(inputs=(3, 2)))


def test_a_model_without_a_batch_dimension_takes_one_item(tmp_path: Path) -> None:
    def run(feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        assert feeds["x"].shape == (2,)
        return [SCORES[int(feeds["x"][0])]]

    save(tmp_path, {"input.x": numbered(4), "output.y": SCORES})
    result = run_golden(run, signature((2,), (3,)), Golden(4, "Argmax", 0.0, "100"), tmp_path / "golden.npz")
    assert result.agree == 4


def test_one_score_per_item_gives_no_class(tmp_path: Path) -> None:
    with pytest.raises(GoldenInvalid, match="'y' has one value an item, which tells no class"):
        run_test(tmp_path, SCORES[:, :1], SCORES[:, :1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"output.y": SCORES}, "lacks the input 'x'"),
        ({"input.x": numbered(4)}, "has no output of the model"),
        ({"input.x": numbered(3), "output.y": SCORES}, r"input.x has shape \[3, 2\], want 4 items first"),
        ({"input.x": numbered(4), "output.y": np.float32(1)}, r"output.y has shape \[\], want 4 items first"),
        ({"input.x": np.array([{}] * 4, object), "output.y": SCORES}, "cannot be read"),
    ],
)
def test_a_golden_set_that_does_not_match_is_reported_with_the_reason(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    save(tmp_path, arrays)
    with pytest.raises(GoldenInvalid, match=message):
        run_golden(replay(SCORES), signature(), Golden(4, "Argmax", 0.0, "100"), tmp_path / "golden.npz")


def test_a_missing_or_damaged_golden_file_is_reported(tmp_path: Path) -> None:
    golden = Golden(4, "Argmax", 0.0, "100")
    with pytest.raises(GoldenInvalid, match="cannot be read"):
        run_golden(replay(SCORES), signature(), golden, tmp_path / "golden.npz")
    (tmp_path / "golden.npz").write_bytes(b"PK\x03\x04 but no archive")
    with pytest.raises(GoldenInvalid, match="cannot be read"):
        run_golden(replay(SCORES), signature(), golden, tmp_path / "golden.npz")


@pytest.mark.parametrize("limit", ["most", "NaN", "-1", "100.1", ""])
def test_a_limit_that_is_not_a_percentage_is_invalid(tmp_path: Path, limit: str) -> None:
    with pytest.raises(GoldenInvalid, match=f"minPercent is '{limit}', want a decimal from 0 to 100"):
        run_test(tmp_path, SCORES, SCORES, min_percent=limit)
