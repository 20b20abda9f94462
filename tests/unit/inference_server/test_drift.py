"""Drift: predictions counted by class and by confidence, in a bounded number of series."""

from weakref import ref

import numpy as np
import pytest
from scipy.special import softmax

from edgemodel import metrics as contract
from inference_server.observability.drift import MAX_CLASSES, MAX_ITEMS, MAX_SCORES, SECONDS_BETWEEN, Drift
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer


def noted(*outputs: object) -> tuple[dict[str, int], int, float]:
    """Returns the classes, and the number and the sum of the confidences."""
    drift = Drift()
    for number, output in enumerate(outputs):
        drift.note(np.asarray(output), float(number))
    classes, confidence = drift.counts()
    return classes, confidence.count, confidence.sum


def test_the_class_of_an_item_is_the_position_of_its_largest_score() -> None:
    classes, count, _ = noted(np.float32([[0, 5, 1], [9, 0, 0]]), np.float32([[0, 3, 1]]))
    assert classes == {"1": 2, "0": 1}
    assert count == 3


def test_the_confidence_is_the_probability_of_the_class_by_softmax_of_scores_that_are_none() -> None:
    scores = np.float32([[1, 2, 3], [-40, 0, 900]])
    _, _, total = noted(scores)
    assert total == pytest.approx(softmax(scores.astype(float), axis=1).max(axis=1).sum())


def test_probabilities_are_taken_as_they_are() -> None:
    assert noted(np.float32([[0.25, 0.75], [0.9, 0.1]]))[2] == pytest.approx(1.65)


def test_a_whole_number_is_the_class_itself_and_has_no_confidence() -> None:
    assert noted(np.int64([3, 3, 0])) == ({"3": 2, "0": 1}, 0, 0)


def test_classes_beyond_those_that_have_a_series_are_counted_as_other() -> None:
    classes, _, _ = noted(np.int64([-1, MAX_CLASSES - 1, MAX_CLASSES, 10**9]))
    assert classes == {str(MAX_CLASSES - 1): 1, contract.OTHER: 3}
    random = np.random.default_rng(0)
    assert len(noted(random.integers(-(2**40), 2**40, 10_000))[0]) <= MAX_CLASSES + 1


def test_outputs_without_classes_are_left_out() -> None:
    nothing = ({}, 0, 0)
    assert noted(np.float32([[0.5], [0.7]])) == nothing
    assert noted(np.float32(3)) == nothing
    assert noted(np.zeros((0, 3))) == nothing
    assert noted(np.array([["a", "b"]], object)) == nothing
    assert noted(np.zeros((1, MAX_SCORES + 1))) == nothing


def test_a_sample_of_a_large_output_does_not_keep_all_of_it() -> None:
    drift, output = Drift(), np.zeros((100 * MAX_ITEMS, 2), np.float32)
    drift.note(output, 0.0)
    gone = ref(output)
    del output
    assert gone() is None
    assert drift.counts()[0] == {"0": MAX_ITEMS}


def test_scores_that_are_not_finite_have_no_confidence() -> None:
    _, count, total = noted(np.float32([[np.nan, 1], [np.inf, 1], [1, 1]]))
    assert (count, total) == (1, pytest.approx(0.5))


def test_many_small_outputs_and_few_large_ones_are_all_counted() -> None:
    random = np.random.default_rng(1)
    outputs = [random.standard_normal((1 + n % 5, 4 if n % 2 else 7)).astype(np.float32) for n in range(500)]
    outputs += [random.standard_normal((100, 1000)).astype(np.float32)]
    classes, count, _ = noted(*outputs)
    items = sum(len(output) for output in outputs)
    assert sum(classes.values()) == count == items
    wanted = np.concatenate([output.argmax(axis=1) for output in outputs])
    for number in range(MAX_CLASSES):
        assert classes.get(str(number), 0) == (wanted == number).sum()


def test_of_many_requests_a_second_a_sample_is_counted() -> None:
    drift = Drift()
    for number in range(1000):
        drift.note(np.int64([1]), number / 2000)
    assert drift.counts()[0] == {"1": pytest.approx(0.5 / SECONDS_BETWEEN, abs=1)}


def test_a_server_counts_its_predictions(mlp_server: RunningServer) -> None:
    inputs = artifacts.samples(20, seed=9)
    before = predictions(mlp_server)
    assert mlp_server.infer(artifacts.infer_body({"x": inputs})).status == 200
    (scores,) = artifacts.plain_run(artifacts.mlp(), {"x": inputs})
    wanted = np.bincount(scores.argmax(axis=1), minlength=artifacts.CLASSES)
    after = predictions(mlp_server)
    assert {name: after[name] - before.get(name, 0) for name in after} == {
        **dict.fromkeys(after, 0),
        **{str(number): count for number, count in enumerate(wanted.tolist()) if count},
    }


def predictions(server: RunningServer) -> dict[str, float]:
    found = {}
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(f"{contract.PREDICTIONS_TOTAL}{{"):
            name = line.split('class="', 1)[1].split('"', 1)[0]
            found[name] = float(line.rsplit(" ", 1)[1])
    return found
