import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_compressor.datasets import (
    Dataset,
    check_class_labels,
    check_classes,
    check_npz,
    fitting,
    load_dataset,
    predicted_classes,
)
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import OnnxModel, check_model
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.errors import Stalled
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files


@pytest.fixture
def model(perceptron: Files) -> OnnxModel:
    return check_model(perceptron.model)


def load(model: OnnxModel, folder: Path, **arrays: Any) -> Dataset:
    np.savez(folder / "set.npz", **arrays)
    return load_dataset(folder / "set.npz", model, folder / "arrays", what="evaluation set", task_arrays=["boxes"])


def refusal(model: OnnxModel, folder: Path, **arrays: Any) -> Stalled:
    with pytest.raises(Stalled) as caught:
        load(model, folder, **arrays)
    assert caught.value.message.startswith("evaluation set: ")
    return caught.value


def x(count: int, features: int = 16) -> Any:
    return np.arange(count * features, dtype=np.float32).reshape(count, features)


def test_inputs_and_label_are_taken_by_name_and_others_left_alone(model: OnnxModel, tmp_path: Path) -> None:
    dataset = load(model, tmp_path, x=x(5), label=np.arange(5), camera=np.arange(3))
    assert (dataset.size, list(dataset.inputs), dataset.label is not None) == (5, ["x"], True)
    np.testing.assert_array_equal(dataset.inputs["x"], x(5))
    assert dataset.notes == ("not read, because the model has no such input: camera",)


# --- what is not read is told ---


@pytest.mark.parametrize("name", ["labels", "y", "Target"])
def test_labels_under_another_name_are_reported_with_the_right_one(model: OnnxModel, tmp_path: Path, name: str) -> None:
    (note,) = load(model, tmp_path, x=x(5), **{name: np.arange(5)}).notes
    assert note.endswith(f"such input: {name}; if {name} holds the labels, call it label")
    assert "call it" not in load(model, tmp_path, x=x(5), label=np.arange(5), **{name: np.arange(5)}).notes[0]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ("arr_0", "arr_1"),
            "it has arr_0, arr_1; name the arrays when you save them: numpy.savez(file, x=…, label=…)",
        ),
        (("X",), "input x; it has X"),
        (("images", "label"), "input x; it has images, label"),
    ],
)
def test_the_existing_names_are_reported_if_an_input_has_no_array(
    model: OnnxModel, tmp_path: Path, names: tuple[str, ...], told: str
) -> None:
    assert told in refusal(model, tmp_path, **{name: x(5) for name in names}).message


def test_an_array_in_a_folder_of_the_zip_is_suggested(model: OnnxModel, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("data/x.npy", b"")
    with pytest.raises(Stalled, match=r"it has data/x; did you mean data/x\?"):
        load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((5, 8, 10, 3), "the axes are in another order, transpose them: array.transpose(0, 3, 1, 2)"),
        ((5, 10, 8, 3), "array.transpose(0, 3, 2, 1)"),
    ],
)
def test_axes_in_another_order_are_reported_with_the_call_that_reorders_them(
    tmp_path: Path, shape: tuple[int, ...], told: str
) -> None:
    signature = ModelFile(tmp_path, "sha256:" + "0" * 64, 0, (Tensor("x", "FP32", (-1, 3, 8, 10)),), ())
    array = np.zeros(shape, np.float32)
    np.savez(tmp_path / "set.npz", x=array)
    with pytest.raises(Stalled) as caught:
        load_dataset(tmp_path / "set.npz", signature, tmp_path / "arrays", what="evaluation set")
    assert caught.value.message.endswith(told)
    order = [int(axis) for axis in told.rpartition("(")[2].rstrip(")").split(",")]
    assert array.transpose(order).shape == (5, 3, 8, 10)


def test_a_name_that_is_almost_right_is_suggested(tmp_path: Path) -> None:
    path = models.recurrent(tmp_path / "recurrent.onnx")
    arrays = models.stream(path, 5)
    arrays["States"] = arrays.pop("state")
    assert refusal(check_model(path), tmp_path, **arrays).message.endswith("did you mean States?")


def test_a_label_without_values_is_refused(model: OnnxModel, tmp_path: Path) -> None:
    said = refusal(model, tmp_path, x=x(5), label=np.empty((5, 0), np.int64)).message
    assert said.endswith("label has shape [5, 0], so no sample has a label: leave the array out")


def test_a_member_with_a_password_is_refused_in_words(model: OnnxModel, tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, x=x(5))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(Stalled, match=r"x\.npy has a password: store it without"):
        load_dataset(path, model, tmp_path / "arrays", what="evaluation set")
    with pytest.raises(Stalled, match=r"x\.npy has a password: store it without"):
        check_npz(path, what="training set")


@pytest.mark.parametrize("name", ["x.npy", "label.npy", "camera.npy"])
def test_a_name_that_stands_twice_is_refused_whichever_is_meant(model: OnnxModel, tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "set.npz", x=x(5), label=np.arange(5), camera=np.arange(3))
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(name, b"")
    for check in (
        lambda: load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set"),
        lambda: check_npz(tmp_path / "set.npz", what="evaluation set"),
    ):
        with pytest.raises(Stalled, match=f"it holds {name.removesuffix('.npy')} twice: write the file anew"):
            check()


def test_members_that_are_not_arrays_are_reported_and_folders_are_ignored(model: OnnxModel, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=x(5))
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("README.txt", b"how it was made")
        archive.mkdir("folder")
    dataset = load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")
    assert dataset.notes == ("not read, because the model has no such input: README.txt",)


# --- types and axes ---


@pytest.mark.parametrize(
    ("made", "note"),
    [
        (x(5).astype(">f4"), ""),
        (np.asfortranarray(x(5)), ""),
        (np.repeat(x(5), 2, axis=0)[::2], ""),
        (x(5).astype(np.float64), "holds float64, the model's input wants float32: rounded"),
        (x(5).astype(">f8"), "rounded"),
        (x(5).astype(np.float16), "holds float16, the model's input wants float32: converted, no value changes"),
        (x(5).astype(np.uint8), "holds uint8, the model's input wants float32: converted, no value changes"),
        (x(5).astype(np.int64), "converted, no value changes"),
        (x(5)[:, None], "array x: the batch axis around each sample is left out"),
    ],
    ids=lambda value: str(getattr(value, "dtype", value))[:20],
)
def test_an_array_that_loses_nothing_is_converted_and_reported(
    model: OnnxModel, tmp_path: Path, made: Any, note: str
) -> None:
    dataset = load(model, tmp_path, x=made, label=np.arange(5).astype(">i8"))
    np.testing.assert_array_equal(dataset.inputs["x"], x(5))
    assert dataset.inputs["x"].dtype == np.dtype("<f4")
    assert dataset.label is not None
    assert dataset.label.dtype == np.dtype("<i8")
    assert [one for one in dataset.notes if note not in one] == []
    assert bool(dataset.notes) is bool(note)


def test_what_is_not_finite_stays_so_when_it_is_rounded(model: OnnxModel, tmp_path: Path) -> None:
    odd = x(5).astype(np.float64)
    odd[1, 2] = np.nan
    assert np.isnan(load(model, tmp_path, x=odd).inputs["x"][1, 2])
    odd[1, 2] = -np.inf
    assert "array x holds infinity in sample 1" in refusal(model, tmp_path, x=odd).message


@pytest.mark.parametrize(
    ("values", "want", "lost"),
    [
        (np.array([1.0, 2.5]), "<i4", 2.5),
        (np.array([1.0, np.nan]), "<i4", np.nan),
        (np.array([1, 2**31]), "<i4", 2**31),
        (np.array([1, -1]), "u1", -1),
        (np.array([1, 2**63], np.uint64), "<i8", 2**63),
        (np.array([0, 2]), "?", 2),
        (np.array([1.0, 3e38]), "<f2", 3e38),
        (np.array([2**53 + 1]), "<f8", 2**53 + 1),
        (np.array([1.0, 2.0, -0.0]), "<i4", None),
        (np.array([0, 1]), "?", None),
        (np.array([True, False]), "<f4", None),
        (np.array([0.1, np.inf]), "<f4", None),
        (np.array([0, 255], np.uint8), "<f2", None),
    ],
)
def test_a_value_is_lost_or_not_whatever_its_type_is(values: Any, want: str, lost: Any) -> None:
    place = fitting.first_lost(values, np.dtype(want))
    assert (None if place is None else values[place]) == pytest.approx(lost, nan_ok=True)


def test_large_arrays_are_converted_part_by_part(
    model: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "_CHUNK_VALUES", 50)
    dataset = load(model, tmp_path, x=x(70).astype(">f8"))
    np.testing.assert_array_equal(dataset.inputs["x"], x(70))
    assert isinstance(dataset.inputs["x"], np.memmap)
    wrong = x(70).astype(np.float64)
    wrong[69, 15] = 1e200
    assert "1e+200 would change" in refusal(model, tmp_path, x=wrong).message


def test_a_sample_without_the_batch_axis_of_its_model_is_a_batch_of_one(tmp_path: Path) -> None:
    path = models.recurrent(tmp_path / "recurrent.onnx")
    arrays = models.stream(path, 5)
    dataset = load(check_model(path), tmp_path, **{**arrays, "x": arrays["x"][:, 0]})
    np.testing.assert_array_equal(dataset.inputs["x"], arrays["x"])
    assert dataset.notes == ("array x: each sample is a batch of one",)


@pytest.mark.parametrize(
    ("label", "want", "note"),
    [
        (np.array([0.0, 3.0, 9.0]), [0, 3, 9], "label holds whole numbers as float64: they are taken as classes"),
        (np.array([[0], [3], [9]]), [0, 3, 9], ""),
        (np.array([[0.0], [3.0], [9.0]], np.float32), [0, 3, 9], "as float32"),
        (np.array([True, False, True]), [1, 0, 1], ""),
        (np.array([0.5, 1.0, 2.0]), [0.5, 1.0, 2.0], ""),
    ],
)
def test_labels_are_classes_where_the_first_output_can_only_be_scores(
    model: OnnxModel, tmp_path: Path, label: Any, want: list[Any], note: str
) -> None:
    """The training reads them as the evaluation does."""
    dataset = load(model, tmp_path, x=x(3), label=label)
    assert dataset.label is not None
    np.testing.assert_array_equal(dataset.label, want)
    assert dataset.has_classes is (want == [int(value) for value in want])
    assert [one for one in dataset.notes if note and note not in one] == []


def test_arrays_are_mapped_from_files_not_held(model: OnnxModel, tmp_path: Path) -> None:
    assert isinstance(load(model, tmp_path, x=x(5)).inputs["x"], np.memmap)


def test_an_empty_set_is_distinguished_from_an_invalid_one(model: OnnxModel, tmp_path: Path) -> None:
    error = refusal(model, tmp_path, x=x(0), label=np.empty(0, dtype=np.int64))
    assert error.reason == reasons.DATASET_EMPTY
    assert "no samples in x, label" in error.message


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"y": x(5)}, "no array for the model's input x"),
        ({"x": x(5), "label": np.arange(4)}, "label 4, x 5"),
        ({"x": np.float32(1)}, "array x is a single value, want one for each sample"),
        (
            {"x": x(5), "label": np.zeros((5, 2)), "boxes": np.full((5, 2, 4), "a")},
            "array boxes holds <U1, want numbers",
        ),
        ({"x": x(5).astype(np.complex64)}, "holds complex64, the model's input wants float32"),
        ({"x": x(5).astype("M8[s]")}, "holds datetime64[s], the model's input wants float32"),
        ({"x": np.zeros((5, 16), [("a", "f4"), ("b", "i4")])}, "the model's input wants float32"),
        ({"x": np.zeros((5, 16), "U3")}, "holds <U3, the model's input wants float32"),
        ({"x": np.full((5, 16), 1e300)}, "holds float64, the model's input wants float32, and 1e+300 would change"),
        ({"x": np.full((5, 16), 2**24 + 1)}, "and 16777217 would change: store it as float32"),
        ({"x": x(5, 15)}, "shape [5, 15], the model's input wants [samples, 16]"),
        ({"x": x(5)[:, :, None]}, "shape [5, 16, 1]"),
        ({"x": x(5), "label": np.array(list("abcde"))}, "label has shape [5] of <U1, want numbers"),
        ({"x": x(5), "class_names": np.arange(3)}, "class_names has shape [3] of int64, want a list of texts"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_with_both_sides(
    model: OnnxModel, tmp_path: Path, arrays: dict[str, Any], told: str
) -> None:
    error = refusal(model, tmp_path, **arrays)
    assert error.reason == reasons.DATASET_INVALID
    assert told in error.message


def test_pickled_objects_are_refused_unread(model: OnnxModel, tmp_path: Path) -> None:
    error = refusal(model, tmp_path, x=np.array([{"a": 1}] * 3, dtype=object))
    assert error.reason == reasons.DATASET_INVALID
    assert "pickled" in error.message


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", b"no zip"])
def test_a_file_that_is_not_an_npz_is_refused(model: OnnxModel, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(data)
    with pytest.raises(Stalled, match=r"not an \.npz file"):
        load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")


def test_a_member_that_is_not_an_array_is_refused(model: OnnxModel, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x.npy", b"hello")
    with pytest.raises(Stalled, match=r"x\.npy cannot be read"):
        load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")


@pytest.mark.parametrize("header", [b"{'descr': (", b"   x\n  y\n {", b"'''", b"[]", b"\x00"])
def test_an_array_whose_head_makes_no_sense_is_refused(model: OnnxModel, tmp_path: Path, header: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))
    with pytest.raises(Stalled, match=r"x\.npy cannot be read"):
        load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")
    with pytest.raises(Stalled, match=r"not an \.npz file that can be read"):
        check_npz(tmp_path / "set.npz", what="training set")


def test_a_set_is_sound_or_not_whatever_model_it_is_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", anything=x(5), names=np.array(["a", "b"]))
    check_npz(tmp_path / "set.npz", what="training set")
    np.savez(tmp_path / "set.npz", anything=x(5), others=np.array([("a", {})], [("name", "U1"), ("value", object)]))
    with pytest.raises(Stalled, match=r"training set: array others\.npy holds Python objects, which are pickled"):
        check_npz(tmp_path / "set.npz", what="training set")
    np.savez(tmp_path / "set.npz")
    with pytest.raises(Stalled) as caught:
        check_npz(tmp_path / "set.npz", what="training set")
    assert (caught.value.reason, caught.value.message) == (reasons.DATASET_EMPTY, "training set: no arrays")


def test_a_set_that_expands_beyond_the_limit_is_refused_before_it_does(
    model: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_compressor.datasets.npz.MAX_UNPACKED_BYTES", 1000)
    np.savez_compressed(tmp_path / "set.npz", x=np.zeros((100, 16), dtype=np.float32))
    with pytest.raises(Stalled, match="bytes unpacked, limit 1000 bytes"):
        load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")
    assert not list((tmp_path / "arrays").iterdir())


def test_batches_hold_every_sample_once_in_order(model: OnnxModel, tmp_path: Path) -> None:
    dataset = load(model, tmp_path, x=x(70))
    seen = np.concatenate([positions for positions, _ in dataset.batches()])
    np.testing.assert_array_equal(seen, np.arange(70))
    assert all(len(feeds["x"]) == len(positions) for positions, feeds in dataset.batches())


def test_a_fixed_batch_is_filled_up_with_copies_of_the_last_sample(tmp_path: Path) -> None:
    four = check_model(models.perceptron(tmp_path / "four.onnx", batch=4))
    batches = list(load(four, tmp_path, x=x(6)).batches())
    assert [len(positions) for positions, _ in batches] == [4, 2]
    np.testing.assert_array_equal(batches[1][1]["x"], x(6)[[4, 5, 5, 5]])


def test_a_part_of_the_samples_is_spread_over_all_of_them(model: OnnxModel, tmp_path: Path) -> None:
    dataset = load(model, tmp_path, x=x(100))
    assert dataset.spread(4).tolist() == [0, 25, 50, 75]
    assert dataset.spread(1000).tolist() == list(range(100))


def test_a_label_beyond_the_classes_of_the_model_is_refused(model: OnnxModel, tmp_path: Path) -> None:
    dataset = load(model, tmp_path, x=x(3), label=np.array([0, 9, 10]))
    with pytest.raises(Stalled, match=r"label 10 is out of range: the model's first output has 10 classes$"):
        check_classes(dataset, 10)
    from_one = load(model, tmp_path, x=x(3), label=np.array([1, 9, 10]))
    with pytest.raises(Stalled, match="has 10 classes that count from 0: subtract 1"):
        check_classes(from_one, 10)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (np.arange(5.0) / 2, "float64, want [samples] of whole numbers"),
        (np.zeros((5, 2), dtype=np.int64), "shape [5, 2]"),
        (
            np.array([0, 1, -1, 2, 3]),
            "label -1 is out of range: classes count from 0; leave out the samples that have none, or for values",
        ),
    ],
)
def test_labels_that_are_not_classes_are_refused_for_classification(
    model: OnnxModel, tmp_path: Path, label: Any, told: str
) -> None:
    dataset = load(model, tmp_path, x=x(5), label=label)
    with pytest.raises(Stalled) as caught:
        check_class_labels(dataset)
    assert caught.value.reason == reasons.DATASET_INVALID
    assert told in caught.value.message


def test_names_of_classes_are_texts_of_any_number(model: OnnxModel, tmp_path: Path) -> None:
    assert load(model, tmp_path, x=x(5), class_names=np.array(["cat", "dog"])).class_names == ("cat", "dog")


def test_the_class_is_the_largest_score_or_the_whole_number_itself() -> None:
    scores = np.array([[0.1, 0.9, 0.0], [3.0, 2.0, 1.0], [0.0, np.nan, 1.0]], dtype=np.float32)
    classes, count = predicted_classes(scores, 3, "evaluation set")
    assert (classes.tolist(), count) == ([1, 0, -1], 3)
    classes, count = predicted_classes(np.array([7, 3]), 2, "evaluation set")
    assert (classes.tolist(), count) == ([7, 3], None)


def test_one_float_an_item_is_the_probability_of_class_1() -> None:
    classes, count = predicted_classes(np.array([[0.2], [0.5], [np.nan], [1.0]], dtype=np.float32), 4, "evaluation set")
    assert (classes.tolist(), count) == ([0, 1, -1, 1], 2)
    with pytest.raises(Stalled, match="or one probability each"):
        predicted_classes(np.array([[0.2], [-3.0]], dtype=np.float32), 2, "evaluation set")


@pytest.mark.parametrize("shape", [(3, 5, 4), (2, 4)])
def test_outputs_without_a_score_for_each_class_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Stalled, match="want scores of shape"):
        predicted_classes(np.zeros(shape, dtype=np.float32), 3, "evaluation set")


def test_a_model_whose_inputs_share_no_batch_dimension_takes_whole_samples(tmp_path: Path) -> None:
    path = models.recurrent(tmp_path / "recurrent.onnx")
    dataset = load(check_model(path), tmp_path, **models.stream(path, 5))
    batches = list(dataset.batches())
    assert [positions.tolist() for positions, _ in batches] == [[0], [1], [2], [3], [4]]
    shapes = {name: array.shape for name, array in batches[0][1].items()}
    assert shapes == {"x": (1, 16), "state": (2, 1, 32), "rate": ()}
    np.testing.assert_array_equal(batches[3][1]["state"], dataset.inputs["state"][3])


def test_whole_samples_have_every_axis_of_the_models_inputs(tmp_path: Path) -> None:
    path = models.recurrent(tmp_path / "recurrent.onnx")
    arrays = models.stream(path, 5)
    error = refusal(check_model(path), tmp_path, **{**arrays, "x": arrays["x"][:, 0, :15]})
    assert "array x has shape [5, 15], the model's input wants [samples, any, 16]" in error.message
    error = refusal(check_model(path), tmp_path, **{**arrays, "rate": np.int64(16_000)})
    assert "array rate is a single value, want one for each sample: numpy.full(samples, value)" in error.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_with_its_array_and_sample(
    value: float, model: OnnxModel, tmp_path: Path
) -> None:
    spoilt = x(9)
    spoilt[7, 3] = value
    np.savez(tmp_path / "set.npz", x=spoilt)
    with pytest.raises(Stalled) as caught:
        load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="calibration set")
    assert caught.value.reason == reasons.DATASET_INVALID
    assert f"array x holds {'NaN' if np.isnan(value) else 'infinity'} in sample 7, at [3]" in caught.value.message


def test_a_missing_value_of_an_evaluation_set_is_told_and_kept(model: OnnxModel, tmp_path: Path) -> None:
    """Nothing is learned from it, and applications send it, too; infinity is no missing value."""
    spoilt = x(9)
    spoilt[7, 3] = np.nan
    dataset = load(model, tmp_path, x=spoilt)
    (note,) = dataset.notes
    assert note == "array x holds NaN in sample 7, at [3], and is evaluated as it is"
    assert np.isnan(dataset.inputs["x"][7, 3])
    spoilt[7, 3] = np.inf
    assert "array x holds infinity in sample 7" in refusal(model, tmp_path, x=spoilt).message


def test_a_label_that_is_no_number_is_refused_too(model: OnnxModel, tmp_path: Path) -> None:
    label = np.zeros(9, dtype=np.float32)
    label[2] = np.nan
    assert "array label holds NaN in sample 2" in refusal(model, tmp_path, x=x(9), label=label).message


def test_a_model_with_an_operator_for_missing_values_may_be_given_nan(perceptron: Files, tmp_path: Path) -> None:
    def impute(proto: onnx.ModelProto) -> None:
        first = proto.graph.node[0]
        first.input[0] = "imputed"
        filled = onnx.helper.make_node(
            "Imputer", ["x"], ["imputed"], "imputer", domain="ai.onnx.ml", imputed_value_floats=[0.0] * 16,
            replaced_value_float=float("nan"),
        )  # fmt: skip
        proto.graph.node.insert(0, filled)
        proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))

    imputing = check_model(models.edited(perceptron.model, tmp_path / "imputing.onnx", impute))
    missing = x(9)
    missing[7, 3] = np.nan
    assert np.isnan(load(imputing, tmp_path, x=missing).inputs["x"][7, 3])
