"""The trained example: its files match, and its README states their results."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from .conftest import EXAMPLES, load_script

FOLDER = EXAMPLES / "fashion-mnist"
MAX_BYTES = 2_500_000
"""The largest size of a file in the tree, in bytes: it is part of every clone."""


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def evaluation() -> Mapping[str, np.ndarray]:
    return dict(np.load(FOLDER / "evaluation.npz"))


@pytest.fixture(scope="module")
def right(session: onnxruntime.InferenceSession, evaluation: Mapping[str, np.ndarray]) -> np.ndarray:
    batches = zip(np.split(evaluation["image"], 38), np.split(evaluation["label"], 38), strict=True)
    return np.concatenate([session.run(None, {"image": image})[0].argmax(1) == label for image, label in batches])


def test_the_model_takes_any_number_of_images_and_gives_ten_logits_each(session: onnxruntime.InferenceSession) -> None:
    (image,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(float)", ["N", 1, 28, 28])
    assert (logits.name, logits.type, logits.shape) == ("logits", "tensor(float)", ["N", 10])


def test_the_model_is_one_plain_file_without_the_exporters_notes() -> None:
    model = onnx.load(FOLDER / "model.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, 17 <= opset.version <= 20) for opset in model.opset_import] == [("", True)]
    assert not model.metadata_props
    assert not model.functions
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("name", ["model.onnx", "evaluation.npz", "calibration.npz", "request.json"])
def test_the_files_are_small_enough_for_the_tree(name: str) -> None:
    assert (FOLDER / name).stat().st_size <= MAX_BYTES


def test_the_data_sets_fit_the_input_of_the_model(evaluation: Mapping[str, np.ndarray]) -> None:
    calibration = np.load(FOLDER / "calibration.npz")
    assert calibration.files == ["image"]
    assert sorted(evaluation) == ["image", "label"]
    for image in (calibration["image"], evaluation["image"]):
        assert image.dtype == np.float32
        assert image.shape[1:] == (1, 28, 28)
        assert image.min() == 0.0
        assert image.max() == 1.0


def test_the_labels_are_classes_of_the_model(evaluation: Mapping[str, np.ndarray]) -> None:
    assert evaluation["label"].dtype == np.int64
    assert len(evaluation["label"]) == len(evaluation["image"]) >= 2000
    assert set(evaluation["label"].tolist()) == set(range(10))


def test_no_image_is_in_two_data_sets(evaluation: Mapping[str, np.ndarray]) -> None:
    judged = {image.tobytes() for image in evaluation["image"]}
    shown = np.load(FOLDER / "calibration.npz")["image"]
    assert not judged & {image.tobytes() for image in shown}


@pytest.mark.slow
def test_the_readme_states_the_models_accuracy(right: np.ndarray) -> None:
    told = re.search(r"\| accuracy \| ([0-9.]+) % \|", (FOLDER / "README.md").read_text())
    assert told is not None
    # Rounding differs between processors, and can change a class whose score almost equals another's.
    assert float(told[1]) == pytest.approx(100 * right.mean(), abs=0.06)
    assert right.mean() >= 0.9


def test_the_request_shows_one_picture_of_each_class(session: onnxruntime.InferenceSession) -> None:
    (image,) = json.loads((FOLDER / "request.json").read_text())["inputs"]
    assert (image["name"], image["datatype"], image["shape"]) == ("image", "FP32", [10, 1, 28, 28])
    pictures = np.array(image["data"], np.float32).reshape(image["shape"])
    seen = session.run(None, {"image": pictures})[0].argmax(1)
    assert (seen == np.arange(10)).sum() >= 8


def test_the_scripts_agree_on_the_classes() -> None:
    assert load_script(FOLDER / "request.py").CLASSES == load_script(FOLDER / "make_data.py").CLASSES


def test_without_the_data_set_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = load_script(FOLDER / "make_data.py")
    monkeypatch.setattr(sys, "argv", ["make_data.py", "--dataset", str(tmp_path), "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"is missing: apt-get install dataset-fashion-mnist"):
        script.main()
