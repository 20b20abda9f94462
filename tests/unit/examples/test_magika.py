"""The pretrained example: the files in the tree match the model that users fetch; nothing is fetched here."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from .conftest import EXAMPLES, FETCHED, load_script

FOLDER = EXAMPLES / "magika"
CLASSES = 214


@pytest.fixture(scope="module")
def make_data() -> ModuleType:
    return load_script(FOLDER / "make_data.py")


def test_the_data_sets_fit_the_input_of_the_model() -> None:
    evaluation, calibration = np.load(FOLDER / "evaluation.npz"), np.load(FOLDER / "calibration.npz")
    assert sorted(evaluation.files) == ["bytes", "label"]
    assert calibration.files == ["bytes"]
    for inputs in (evaluation["bytes"], calibration["bytes"]):
        assert inputs.dtype == np.int32
        assert inputs.shape[1:] == (2048,)
        assert inputs.min() >= 0
        assert inputs.max() <= 256


def test_the_labels_are_classes_of_the_model() -> None:
    evaluation = np.load(FOLDER / "evaluation.npz")
    label = evaluation["label"]
    assert label.dtype == np.int64
    assert len(label) == len(evaluation["bytes"]) >= 500
    assert 0 <= label.min() <= label.max() < CLASSES


def test_the_files_are_the_same_on_every_machine(make_data: ModuleType) -> None:
    made = np.stack([make_data.features(file) for file in make_data.samples.make(200, seed=1)])
    assert (made == np.load(FOLDER / "evaluation.npz")["bytes"][:200]).all()


def test_a_short_file_is_padded_between_its_beginning_and_its_end(make_data: ModuleType) -> None:
    features = make_data.features(b"  abc\n")
    assert features[:5].tolist() == [*b"abc\n", 256]
    assert features[-6:].tolist() == [256, *b"  abc"]


def test_a_long_file_shows_its_first_and_last_1024_bytes(make_data: ModuleType) -> None:
    features = make_data.features(b"a" * 5000 + b"b" * 5000)
    assert features.tolist() == [ord("a")] * 1024 + [ord("b")] * 1024


def test_the_wheel_is_pinned_by_version_and_hash() -> None:
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    (pinned,) = [line for line in lines if not line.startswith("#")]
    requirement, _, digest = pinned.partition(" --hash=sha256:")
    assert requirement.startswith("magika==")
    assert len(digest) == 64


def test_a_file_other_than_the_expected_one_is_refused(fetch: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"other")
    with pytest.raises(ValueError, match="expected sha256:"):
        fetch.fetch(tmp_path)


@pytest.mark.slow
def test_the_labels_are_the_answers_of_the_source(make_data: ModuleType, fetch: ModuleType) -> None:
    model = fetch.fetch()
    assert model == FETCHED / "magika" / "model.onnx"
    evaluation = np.load(FOLDER / "evaluation.npz")
    answers = make_data.answers(model, evaluation["bytes"][:64])
    assert (answers == evaluation["label"][:64]).all()
