"""The step Auto on small models that are equally fast, so that the machine's clock does not matter."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_cli.main import main
from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.evaluation import stateful
from edge_compressor.models.onnx_model import check_model
from edge_compressor.progress import Progress
from edge_compressor.steps import StepContext, plan
from edgemodel import reasons
from edgemodel.budget import Budget
from edgemodel.compression_request import AUTO, ONNX, CompressionRequest, EvaluationSettings, Source
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files

pytestmark = pytest.mark.slow


class Auto:
    """A runner of the step alone, on half of the given evaluation set."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder, self.progress = folder, progress
        self.notes: dict[str, Any] = {}

    def run(
        self,
        model: Path,
        arrays: dict[str, Any],
        *,
        budget: Budget | None = None,
        task: str = AUTO,
        states: dict[str, str] | None = None,
        made: Path | None = None,
        **settings: Any,
    ) -> Path:
        """Runs the step; ``made`` is the result of earlier steps on ``model``."""
        source = check_model(model)
        selection, _ = self.dataset(source.path, arrays, "evaluation", states).halves()
        few = {name: array[:16] for name, array in arrays.items()}
        calibration = stateful.steps_of(self.dataset(source.path, few, "calibration", states), source, 16, "source")
        (step,) = plan([{"name": "auto", "type": "Auto", "auto": settings}])
        own = self.folder / "own"
        own.mkdir()
        context = StepContext(
            "auto",
            own,
            calibration,
            self.progress,
            source=source,
            selection=selection,
            request=CompressionRequest(
                Source(str(model)), budget=budget or Budget(), evaluation=EvaluationSettings(task)
            ),
            notes=self.notes,
        )
        return step.step.apply[ONNX](made or model, step.settings, context)

    def dataset(self, model: Path, arrays: dict[str, Any], name: str, states: dict[str, str] | None = None) -> Dataset:
        np.savez(self.folder / f"{name}.npz", **arrays)
        file = self.folder / f"{name}.npz"
        return load_dataset(file, check_model(model), self.folder / name, what=f"{name} set", states=states)

    @property
    def tried(self) -> dict[str, dict[str, Any]]:
        return {trial["name"]: trial for trial in self.notes["auto"]["tried"]}


@pytest.fixture
def auto(tmp_path: Path, quiet: Progress, even_clock: None) -> Auto:
    (tmp_path / "auto").mkdir()
    return Auto(tmp_path / "auto", quiet)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Returns a net with layers large enough to be stored in a smaller form."""
    folder = tmp_path_factory.mktemp("wide")
    model = models.residual_net(folder / "wide.onnx", channels=24)
    evaluation = models.write_evaluation(folder / "evaluation.npz", model, 800, spoilt=0)
    return Files(model, models.write_calibration(folder / "calibration.npz", model), evaluation)


def labelled(files: Files, count: int = 800) -> dict[str, Any]:
    with np.load(files.evaluation) as arrays:
        return {name: arrays[name][:count] for name in arrays.files}


def test_what_it_takes_keeps_the_budget_and_is_not_slower(wide: Files, auto: Auto) -> None:
    result = auto.run(wide.model, labelled(wide), budget=Budget(Decimal("5.0")))
    found = auto.notes["auto"]
    check_model(result)
    taken = auto.tried[found["chosen"]]
    assert taken["dropped"] is None
    assert taken["paretoFront"]
    assert taken["accuracyDrop"]["upperPercent"] <= 5.0
    assert taken["speed"]["verdict"] == "Tie"
    assert taken["sizeBytes"] == result.stat().st_size < wide.model.stat().st_size / 2
    assert {"StoreWeights(INT8)", "QuantizeDynamic", "QuantizeStatic", "QuantizeStatic(Conv)"} <= auto.tried.keys()
    assert all(trial["dropped"] for trial in auto.tried.values() if trial["transferBytes"] is None)


def test_a_tie_is_not_faster_so_for_speed_alone_the_source_is_served(wide: Files, auto: Auto) -> None:
    result = auto.run(wide.model, labelled(wide), budget=Budget(Decimal("5.0")), objective="Speed", maxTrials=3)
    assert result == wide.model
    assert "is better (Speed)" in auto.notes["auto"]["reason"]
    assert not list((auto.folder / "own").iterdir())


def test_too_few_samples_prove_nothing_so_the_source_is_served_byte_for_byte(residual: Files, auto: Auto) -> None:
    result = auto.run(residual.model, labelled(residual, 60), maxTrials=6)
    assert digest_of_file(result) == digest_of_file(residual.model)
    assert auto.notes["auto"]["chosen"] == "the source"
    assert "Inconclusive: accuracy drops" in auto.notes["auto"]["reason"]
    assert "samples would decide" in auto.notes["auto"]["reason"]


def test_a_budget_that_nothing_meets_serves_the_source(perceptron: Files, auto: Auto) -> None:
    result = auto.run(perceptron.model, labelled(perceptron), budget=Budget(max_size_bytes=10), maxTrials=4)
    assert result == perceptron.model
    assert "limit 10 bytes" in auto.tried["QuantizeDynamic"]["dropped"]
    assert all(trial["dropped"] for trial in auto.tried.values())


def test_a_model_that_nothing_can_be_done_to_is_served_as_it_is(tmp_path: Path, auto: Auto) -> None:
    builder = models.Builder()
    builder.node("Relu", ["x"], "y")
    model = builder.save(tmp_path / "relu.onnx", [10])
    x = models.inputs_for(model, 40)
    result = auto.run(model, {"x": x, "label": x.argmax(1)})
    assert result == model
    assert "no FP32 weights" in auto.tried["StoreWeights(FP16)"]["dropped"]
    assert "nothing was quantized" in auto.tried["QuantizeStatic"]["dropped"]
    assert auto.notes["auto"]["reason"].endswith("keeps the budget at the speed of the source")


def test_a_model_that_is_quantized_already_is_searched_like_any(
    residual: Files, auto: Auto, tmp_path: Path, quiet: Progress
) -> None:
    (step,) = plan([{"name": "int8", "type": "QuantizeStatic"}])
    (tmp_path / "static").mkdir()
    calibration = auto.dataset(residual.model, {"x": models.inputs_for(residual.model, 16)}, "first")
    context = StepContext("int8", tmp_path / "static", calibration, quiet)
    quantized = step.step.apply[ONNX](residual.model, step.settings, context)
    check_model(auto.run(quantized, labelled(residual), budget=Budget(Decimal("5.0")), maxTrials=8))
    assert "cannot be made" in auto.tried["StoreWeights(FP16)"]["dropped"]


def test_the_search_ends_with_its_trials(perceptron: Files, auto: Auto) -> None:
    auto.run(perceptron.model, labelled(perceptron), maxTrials=2)
    assert len(auto.tried) == 2
    assert any("maxTrials" in note for note in auto.notes["auto"]["notes"])


def test_a_model_with_a_state_is_compressed_sample_by_sample(tmp_path: Path, auto: Auto) -> None:
    model = models.recurrent(tmp_path / "recurrent.onnx")
    auto.run(model, models.stream(model, 80), budget=Budget(Decimal("20.0")), maxTrials=3)
    fp16 = auto.tried["StoreWeights(FP16)"]
    assert fp16["sizeBytes"] < model.stat().st_size
    assert fp16["dropped"] is None


@pytest.mark.parametrize("kind", ["Close", "Argmax"])
def test_without_labels_it_chooses_by_agreement(kind: str, wide: Files, auto: Auto) -> None:
    x = models.inputs_for(wide.model, 800)
    auto.run(wide.model, {"x": x}, agreement=kind, minAgreementPercent="98", maxTrials=1)
    assert auto.notes["auto"]["judgedBy"] == f"agreement ({kind})"
    fp16 = auto.tried["StoreWeights(FP16)"]
    assert fp16["accuracyDrop"] is None
    assert fp16["agreementPercent"] > 98
    assert fp16["dropped"] is None


def test_a_model_with_a_state_is_judged_along_sequences(tmp_path: Path, auto: Auto) -> None:
    model = models.recurrent(tmp_path / "recurrent.onnx")
    single = models.stream(model, 80 * 6)
    arrays = {name: array.reshape(80, 6, *array.shape[1:]) for name, array in single.items() if name != "state"}
    auto.run(model, arrays, budget=Budget(Decimal("20.0")), states={"state": "next"}, maxTrials=3)
    assert auto.notes["auto"]["samples"] == 40
    assert auto.tried["StoreWeights(FP16)"]["accuracyDrop"] is not None
    assert auto.tried["StoreWeights(FP16)"]["dropped"] is None


@pytest.mark.parametrize("task", ["Regression", "MultiLabel", "Embedding"])
def test_it_chooses_by_the_score_of_any_task(task: str, wide: Files, auto: Auto) -> None:
    x = models.inputs_for(wide.model, 400)
    outputs = models.answers(wide.model, x)
    labels = {"Regression": outputs, "MultiLabel": (outputs > 0).astype(np.int64)}
    arrays = {"x": x, **({"label": labels[task]} if task in labels else {})}
    auto.run(wide.model, arrays, budget=Budget(Decimal("5.0")), task=task, maxTrials=1)
    assert auto.notes["auto"]["judgedBy"] == "accuracy"
    fp16 = auto.tried["StoreWeights(FP16)"]
    assert fp16["dropped"] is None
    assert fp16["accuracyDrop"]["percent"] < 5


def test_a_model_for_other_classes_than_the_source_is_not_chosen_for(
    perceptron: Files, tmp_path: Path, auto: Auto
) -> None:
    def two_classes(model: onnx.ModelProto) -> None:
        (last,) = model.graph.output
        last.type.tensor_type.shape.dim[1].dim_value = 2
        places = numpy_helper.from_array(np.array([0, 1]), "places")
        model.graph.initializer.append(places)
        model.graph.node.append(onnx.helper.make_node("Gather", ["all", "places"], [last.name], axis=1))
        for node in model.graph.node[:-1]:
            node.output[:] = ["all" if name == last.name else name for name in node.output]

    made = models.edited(perceptron.model, tmp_path / "made.onnx", two_classes)
    with pytest.raises(Stalled, match="quantize by another step, and set minAccuracyPercent"):
        auto.run(perceptron.model, labelled(perceptron), made=made, maxTrials=1)


def test_a_drop_of_accuracy_cannot_be_limited_without_labels(perceptron: Files, auto: Auto) -> None:
    x = {"x": models.inputs_for(perceptron.model, 40)}
    with pytest.raises(Stalled) as caught:
        auto.run(perceptron.model, x, budget=Budget(Decimal("1.0")))
    assert caught.value.reason == reasons.STEP_FAILED
    assert "give datasets.evaluation a label" in caught.value.message


def test_a_layer_that_cannot_be_quantized_is_found_and_left_out(tmp_path: Path, auto: Auto) -> None:
    """The middle layer's inputs have one channel a thousand times as large as those that decide."""
    net = models.Builder()
    scale = np.ones(64, dtype=np.float32)
    scale[0] = 1000
    first = net.node("MatMul", ["x", net.weight("w1", 16, 64)], "first_out")
    stretched = net.node("Mul", [first, net.constant("stretch", scale)], "stretch_out")
    second = net.weight("w2", 64, 64)
    values = numpy_helper.to_array(net.weights[-1]).copy()
    values[0] = 0
    net.weights[-1].CopyFrom(numpy_helper.from_array(values, second))
    middle = net.node("MatMul", [stretched, second], "middle_out")
    third = net.node("MatMul", [middle, net.weight("w3", 64, 64)], "third_out")
    net.node("MatMul", [third, net.weight("w4", 64, 10)], "y", name="last")
    model = net.save(tmp_path / "stretched.onnx", [16])
    x = models.inputs_for(model, 600)
    label = models.answers(model, x).argmax(1)
    auto.run(model, {"x": x, "label": label}, budget=Budget(Decimal("8.0")))
    for method in ("QuantizeDynamic", "QuantizeStatic"):
        assert auto.tried[method]["accuracyDrop"]["percent"] > 20
        assert auto.tried[f"{method}(without middle)"]["dropped"] is None


def run(*arguments: Any) -> int:
    return main(["compress", *map(str, arguments)])


def test_the_report_lists_the_trials_and_the_choice(perceptron: Files, tmp_path: Path) -> None:
    (tmp_path / "steps.json").write_text(
        json.dumps([{"name": "best", "type": "Auto", "auto": {"objective": "Size", "maxTrials": 2}}])
    )
    files = ("--source", perceptron.model, "--evaluation", perceptron.evaluation, "--steps", tmp_path / "steps.json")
    assert run(*files, "--output", tmp_path / "out", "--budget", "maxAccuracyDropPercent=8") == 0
    (step,) = json.loads((tmp_path / "out/manifest.json").read_text())["steps"]
    assert len(step["auto"]["tried"]) == 2
    assert "needs datasets.calibration" in step["auto"]["notes"][0]
    report = (tmp_path / "out/report.md").read_text()
    assert "## What best tried" in report
    assert "| recipe | bytes |" in report
    assert "Judged by accuracy on 200 samples, limit 8 %" in report
    assert "200 samples of the evaluation set were used for selection" in report


def test_without_an_evaluation_set_it_is_refused_before_any_download(
    perceptron: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "steps.json").write_text(json.dumps([{"name": "best", "type": "Auto"}]))
    assert run("--source", perceptron.model, "--steps", tmp_path / "steps.json", "--output", tmp_path / "out") != 0
    assert "step best: Auto needs datasets.evaluation: inputs and label" in capsys.readouterr().err


def test_the_weights_of_a_taken_recipe_are_in_the_artifact(wide: Files, auto: Auto) -> None:
    result = auto.run(wide.model, labelled(wide), budget=Budget(Decimal("5.0")), objective="Size", maxTrials=2)
    kinds = {tensor.data_type for tensor in onnx.load(result).graph.initializer}
    assert kinds & {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8}
