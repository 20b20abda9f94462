"""No artifact is published that never ran, or that gives nonsense: with data, and with generated inputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor import pipeline, steps
from edge_compressor.evaluation.generated_inputs import generate, index_ranges
from edge_compressor.evaluation.relative_error import RelativeErrors, measure_error
from edge_compressor.models import runtime
from edge_compressor.models.onnx_model import check_model
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edge_compressor.step_interface.step_type import StepContext, StepType
from edgemodel import reasons
from edgemodel.budget import Budget, parse_budget
from edgemodel.compression_request import ONNX, CompressionRequest, Recipe, Source
from edgemodel.errors import Stalled
from edgemodel.setting_kinds import Settings
from tests.unit.edge_compressor.normal_form.graphs import FLOAT, INT64, model, product, stored, value, weight

Edit = Callable[[onnx.ModelProto], None]
SPOIL: dict[str, Any] = {"name": "spoil", "type": "Spoil"}
X = np.random.default_rng(3).standard_normal((64, 4)).astype(np.float32)


def scaled(name: str, by: float) -> Edit:
    """Returns an edit that multiplies the weight ``name`` by ``by``."""

    def edit(proto: onnx.ModelProto) -> None:
        for tensor in proto.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(by), name))

    return edit


def picky(proto: onnx.ModelProto) -> None:
    """Makes the model run on no more than one sample, and no sample match."""
    proto.graph.node.append(helper.make_node("Reshape", ["y", "impossible"], ["z"], "last"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([7, 11]), "impossible"))
    proto.graph.node[-2].output[0] = "inner"
    proto.graph.node[-1].input[0], proto.graph.node[-1].output[0] = "inner", "y"


class Desk:
    """A pipeline with a step that damages a model like a faulty quantizer."""

    def __init__(self, folder: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.progress, self.monkeypatch = folder, progress, monkeypatch

    def compress(
        self,
        edit: Edit,
        *,
        given: onnx.ModelProto | None = None,
        budget: Budget | None = None,
        meant: bool = False,
        **datasets: dict[str, Any],
    ) -> Compressed:
        """Compresses; with ``meant``, the step is one that trains or prunes."""

        def spoil(path: Path, settings: Settings, context: StepContext) -> Path:
            proto = onnx.load(path)
            edit(proto)
            onnx.save(proto, context.folder / "spoilt.onnx")
            return context.folder / "spoilt.onnx"

        step = StepType("Spoil", "Is not there.", {}, {ONNX: spoil}, changes_function=meant)
        self.monkeypatch.setitem(steps.STEPS, "Spoil", step)
        onnx.save(given or product(), self.folder / "given.onnx")
        for use, arrays in datasets.items():
            np.savez(self.folder / f"{use}.npz", **arrays)
        request = CompressionRequest(
            Source(str(self.folder / "given.onnx")),
            (Recipe("default", (SPOIL,)),),
            {use: Source(str(self.folder / f"{use}.npz")) for use in datasets},
            budget=budget or Budget(),
        )
        fetcher = Fetcher(RegistryAccess(), self.progress, local_paths=True)
        (compressed,) = pipeline.run(request, "m", fetcher, self.folder / "work", self.progress)
        return compressed


@pytest.fixture
def desk(tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, quiet, monkeypatch)


@pytest.mark.parametrize("use", ["calibration", "evaluation"])
def test_a_lost_bias_exceeds_the_default_budget_on_data(use: str, desk: Desk) -> None:
    compressed = desk.compress(scaled("b", -3), **{use: {"x": X}})
    assert compressed.decision.reason == reasons.BUDGET_EXCEEDED
    assert "output 'y' is off by" in compressed.decision.message
    assert f"({use} set, n = 64)" in compressed.decision.message
    (error,) = compressed.manifest.evidence["relativeErrors"]["outputs"]
    assert error["percent"] > 30
    text = (compressed.folder / "report.md").read_text()
    assert f"{error['percent']:.2f} % of its spread (y; {use} set, n = 64)" in text


def test_rounding_is_within_it(desk: Desk) -> None:
    compressed = desk.compress(scaled("w", 1.02), calibration={"x": X})
    assert compressed.decision.reason is None
    (check,) = compressed.decision.checks
    assert (check.name, check.limit) == ("maxRelativeErrorPercent", "40")
    assert 0 < float(check.observed) < 5


def test_on_generated_inputs_a_large_error_is_a_warning(desk: Desk) -> None:
    compressed = desk.compress(scaled("b", -30))
    assert compressed.decision.checks == ()
    (note,) = compressed.manifest.evidence["notes"]
    assert note.startswith("warning: output 'y' of the artifact is off by")
    assert "generated inputs" in note


@pytest.mark.parametrize("datasets", [{}, {"calibration": {"x": X}}], ids=["generated", "calibration"])
@pytest.mark.parametrize("budget", [{}, {"maxRelativeErrorPercent": "300"}])
def test_an_artifact_that_answers_nan_or_cannot_run_is_refused(
    datasets: dict[str, Any], budget: dict[str, Any], desk: Desk
) -> None:
    for edit, word in ((scaled("w", np.nan), "output 'y'"), (scaled("b", np.inf), "output 'y'"), (picky, "cannot run")):
        with pytest.raises(Stalled, match=word) as caught:
            desk.compress(edit, budget=parse_budget(budget), **datasets)
        assert caught.value.reason == reasons.STEP_FAILED
        for folder in desk.folder.glob("work"):
            folder.rename(desk.folder / f"before-{len(list(desk.folder.iterdir()))}")


@pytest.mark.parametrize("use", ["calibration", "evaluation"])
@pytest.mark.parametrize("edit", [lambda proto: None, scaled("b", 1)], ids=["served as it is", "changed"])
def test_a_source_that_answers_no_number_is_named(edit: Edit, use: str, desk: Desk) -> None:
    given = product()
    scaled("w", np.nan)(given)
    with pytest.raises(
        Stalled, match=f"output 'y' of the source is NaN or infinite for every sample of the {use} set"
    ) as caught:
        desk.compress(edit, given=given, **{use: {"x": X}})
    assert caught.value.reason == reasons.SOURCE_INVALID


def test_steps_that_train_or_prune_mean_other_answers(desk: Desk) -> None:
    compressed = desk.compress(scaled("b", -30), meant=True, calibration={"x": X})
    assert (compressed.decision.checks, compressed.manifest.evidence["notes"]) == ((), [])


def test_a_budget_of_accuracy_takes_the_place_of_the_default(desk: Desk) -> None:
    labels = (X[:, 0] > 0).astype(np.int64)
    budget = parse_budget({"maxAccuracyDropPercent": "100"})
    compressed = desk.compress(scaled("b", -30), budget=budget, evaluation={"x": X, "label": labels})
    assert [check.name for check in compressed.decision.checks] == ["maxAccuracyDropPercent"]
    assert any("off by" in note for note in compressed.manifest.evidence["notes"])


def test_an_artifact_of_inputs_that_cannot_be_generated_is_refused_with_the_cure(desk: Desk) -> None:
    given = model(
        [helper.make_node("Reshape", ["x", "shape"], ["r"], "r"), helper.make_node("Mul", ["r", "w"], ["y"], "m")],
        [value("x", ["n"])],
        [value("y", [7, 11])],
        [stored("shape", [7, 11]), weight("w", 11)],
    )
    with pytest.raises(Stalled, match=r"give datasets\.calibration or datasets\.evaluation"):
        desk.compress(scaled("w", 1.01), given=given)


def compared(
    tmp_path: Path, quiet: Progress, source: onnx.ModelProto, artifact: onnx.ModelProto, samples: int = 64
) -> RelativeErrors:
    found = []
    for name, proto in (("source.onnx", source), ("artifact.onnx", artifact)):
        onnx.save(proto, tmp_path / name)
        found.append(check_model(tmp_path / name))
    dataset = generate(found[0], samples)
    assert dataset is not None
    return measure_error(*found, dataset, quiet)


def test_outputs_that_say_nothing_by_their_values_are_listed_and_not_judged(tmp_path: Path, quiet: Progress) -> None:
    def proto(by: float) -> onnx.ModelProto:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
            helper.make_node("TopK", ["y", "k"], ["best", "places"], "best"),
            helper.make_node("Shape", ["x"], ["sizes"], "sizes"),
            helper.make_node("RandomNormalLike", ["y"], ["noise"], "noise"),
        ]
        outputs = [value("y", ["n", 6]), value("best", ["n", 2]), value("noise", ["n", 6])]
        outputs += [value("places", ["n", 2], INT64), value("sizes", [2], INT64)]
        return model(
            nodes, [value("x", ["n", 4])], outputs, [stored("w", by * np.eye(4, 6), np.float32), stored("k", [2])]
        )

    errors = compared(tmp_path, quiet, proto(1), proto(1.1))
    told = {one.output: one.unjudged for one in errors.outputs}
    assert told == {
        "y": "",
        "best": "TopK puts its rows in order",
        "noise": "RandomNormalLike makes it random",
        "places": "TopK puts its rows in order",
        "sizes": "it holds no floats",
    }
    assert errors.worst is not None
    assert (errors.worst.output, round(errors.worst.percent or 0)) == ("y", 10)


def test_generated_indices_lie_within_their_tables(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["a"], "look"),
        helper.make_node("Unsqueeze", ["kind", "axis"], ["u"], "u"),
        helper.make_node("Cast", ["u"], ["c"], "c", to=INT64),
        helper.make_node("Gather", ["kinds", "c"], ["b"], "kind"),
        helper.make_node("OneHot", ["day", "seven", "values"], ["d"], "d"),
        helper.make_node("ReduceSum", ["d"], ["s"], "s", keepdims=0),
        helper.make_node("Equal", ["rate", "hertz"], ["e"], "e"),
        helper.make_node("If", ["e"], ["f"], "f", then_branch=_branch(1.0), else_branch=_branch(2.0)),
        helper.make_node("Add", ["a", "s"], ["as"], "as"),
        helper.make_node("Mul", ["as", "f"], ["y"], "m"),
    ]
    inputs = [value("ids", ["n", "length"], INT64), value("kind", ["n"], TensorProto.INT32)]
    inputs += [value("day", ["n"], INT64), value("rate", [], INT64)]
    weights = [weight("words", 50, 4), weight("kinds", 3, 4), stored("axis", [1]), stored("seven", 7)]
    weights += [stored("values", [0, 1], np.float32), stored("hertz", 16000)]
    proto = model(nodes, inputs, [value("y", ["n", "l", 4]), value("b", ["n", 1, 4])], weights)
    onnx.save(proto, tmp_path / "m.onnx")
    checked = check_model(tmp_path / "m.onnx")
    assert index_ranges(checked) == {"ids": (0, 49), "kind": (0, 2), "day": (0, 6), "rate": (16000, 16000)}
    dataset = generate(checked)
    assert dataset is not None
    assert dataset.whole
    assert 40 < dataset.inputs["ids"].max() < 50
    assert dataset.inputs["rate"].tolist() == [16000] * dataset.size


def _branch(factor: float) -> onnx.GraphProto:
    node = helper.make_node("Constant", [], ["o"], "o", value=stored("", factor, np.float32))
    return helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("o", FLOAT, [])])


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (["n", 3, "h", "w"], 16),
        (["n", 3, 8, 8], 8),
        ([2, 3, "h", "w"], 16),
        (["n", "c", "h", "w"], 16),
        (["n", "three", "h", "w"], 16),
    ],
)
@pytest.mark.slow
def test_open_dimensions_get_sizes_that_the_model_takes(shape: list[Any], size: int, tmp_path: Path) -> None:
    """The two poolings of stride 4 need 16 rows; an axis of channels that a convolution reads has its 3."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["c"], ["y"], "p", kernel_shape=[8, 8], strides=[4, 4]),
    ]
    channels = 16 if shape[1] == "c" else 3
    onnx.save(
        model(
            nodes, [value("x", shape)], [value("y", [shape[0], 5, "rows", "columns"])], [weight("w", 5, channels, 3, 3)]
        ),
        tmp_path / "m.onnx",
    )
    checked = check_model(tmp_path / "m.onnx")
    dataset = generate(checked)
    assert dataset is not None
    assert dataset.inputs["x"].shape[2:] == (size, size)
    _, feeds = next(dataset.batches())
    assert runtime.run(runtime.load(checked), feeds)[0].size > 0
    again = generate(checked)
    assert again is not None
    assert np.array_equal(again.inputs["x"], dataset.inputs["x"])


def test_texts_are_generated_too(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"], "n")]
    proto = model(nodes, [value("x", ["n"], TensorProto.STRING)], [value("y", ["n"], TensorProto.STRING)])
    onnx.save(proto, tmp_path / "m.onnx")
    dataset = generate(check_model(tmp_path / "m.onnx"))
    assert dataset is not None
    assert dataset.inputs["x"].dtype.kind == "U"
