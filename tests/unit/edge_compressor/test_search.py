from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from edge_compressor.datasets import load_dataset
from edge_compressor.evaluation import Evaluator, Speed, Timing, compare_speed, speed_of
from edge_compressor.evaluation.generated_inputs import generate
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.models.onnx_model import OnnxModel, check_model
from edge_compressor.progress import Progress
from edge_compressor.search import choice, probe, recipes, sensitivity, weights
from edge_compressor.search.portable import why_slow
from edge_compressor.search.recipes import Part, SearchRecipe
from edge_compressor.search.trial import Pace, SearchTrial, Trials, mark_front, pace
from edge_compressor.steps import StepContext, plan
from edgemodel.budget import Budget
from edgemodel.compression_request import ONNX
from edgemodel.digest import Digest
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import operators
from tests.unit.edge_compressor.conftest import Files

ONE = Timing(1.0, 1.0)


def optimized(model: Path, folder: Path) -> Path:
    feed = {"x": models.inputs_for(model, 1)}
    assert probe.look(model, feed, folder / "optimized.onnx") is None
    return folder / "optimized.onnx"


def static(files: Files, folder: Path, progress: Progress, **settings: Any) -> Path:
    (step,) = plan([{"name": "one", "type": "QuantizeStatic", "quantizeStatic": settings}])
    folder.mkdir()
    calibration = load_dataset(files.calibration, check_model(files.model), folder / "set", what="calibration set")
    return step.step.apply[ONNX](files.model, step.settings, StepContext("one", folder, calibration, progress))


class TestWeights:
    @pytest.mark.parametrize(("datatype", "smaller"), [("FP16", 1.6), ("INT8", 2.2)])
    def test_they_are_stored_small_and_answers_stay(
        self, datatype: str, smaller: float, residual: Files, tmp_path: Path
    ) -> None:
        model = models.residual_net(tmp_path / "wide.onnx", channels=24)
        result = tmp_path / "small.onnx"
        assert weights.store(model, result, datatype) == 5  # the stem has too few values to be worth it
        check_model(result)
        assert result.stat().st_size * smaller < model.stat().st_size
        x = models.inputs_for(model, 200)
        assert (models.answers(model, x).argmax(1) == models.answers(result, x).argmax(1)).mean() > 0.98

    @pytest.mark.parametrize("datatype", weights.DATATYPES)
    def test_the_runtime_restores_them_once_when_it_loads(self, datatype: str, tmp_path: Path) -> None:
        model = models.residual_net(tmp_path / "wide.onnx", channels=24)
        weights.store(model, tmp_path / "small.onnx", datatype)
        assert operators(optimized(tmp_path / "small.onnx", tmp_path)) == operators(optimized(model, tmp_path))

    def test_those_of_subgraphs_and_constant_nodes_count_too(self, tmp_path: Path) -> None:
        weight = np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)
        branches = []
        for name, values in (("then", weight), ("else", -weight)):
            constant = helper.make_node("Constant", [], [f"{name}_w"], value=numpy_helper.from_array(values))
            product = helper.make_node("MatMul", ["x", f"{name}_w"], [f"{name}_y"])
            output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["n", 64])
            branches.append(helper.make_graph([constant, product], name, [], [output]))
        builder = models.Builder()
        builder.node(
            "If", [builder.constant("yes", np.array(True))], "y", then_branch=branches[0], else_branch=branches[1]
        )
        model = builder.save(tmp_path / "if.onnx", [32], classes=64)
        assert weights.store(model, tmp_path / "small.onnx", "FP16") == 2
        check_model(tmp_path / "small.onnx")
        x = models.inputs_for(model, 5)
        np.testing.assert_allclose(models.answers(tmp_path / "small.onnx", x), models.answers(model, x), atol=0.05)

    def test_each_channel_of_a_depthwise_convolution_has_a_scale(self, tmp_path: Path) -> None:
        """Each channel has 9 values; some are a thousand times as large as others."""
        builder = models.Builder()
        weight = builder.random.standard_normal((128, 1, 3, 3)) * np.logspace(-3, 0, 128)[:, None, None, None]
        constant = builder.constant("w", weight.astype(np.float32))
        builder.node("Conv", ["x", constant], "deep_out", group=128)
        builder.node("Flatten", ["deep_out"], "y")
        model = builder.save(tmp_path / "deep.onnx", [128, 3, 3], classes=128)
        assert weights.store(model, tmp_path / "small.onnx", "INT8") == 1
        x = models.inputs_for(model, 20)
        right, got = models.answers(model, x), models.answers(tmp_path / "small.onnx", x)
        assert (np.abs(got - right).max(0) / np.abs(right).max(0)).max() < 0.05

    def test_what_fp16_cannot_hold_stays(self, perceptron: Files, tmp_path: Path) -> None:
        def enlarge(model: onnx.ModelProto) -> None:
            for tensor in model.graph.initializer:
                if tensor.name == "w1":
                    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1e6, "w1"))

        large = models.edited(perceptron.model, tmp_path / "large.onnx", enlarge)
        assert weights.store(large, tmp_path / "small.onnx", "FP16") == 0
        assert weights.store(large, tmp_path / "small.onnx", "INT8") == 1


class TestPortable:
    def test_a_float_model_and_a_wholly_quantized_one_show_no_sign(
        self, residual: Files, tmp_path: Path, quiet: Progress
    ) -> None:
        assert why_slow(optimized(residual.model, tmp_path)) is None
        assert why_slow(optimized(static(residual, tmp_path / "static", quiet), tmp_path)) is None

    def test_convolutions_that_quantize_at_each_run_are_slow(self, residual: Files, tmp_path: Path) -> None:
        quantize_dynamic(residual.model, tmp_path / "dynamic.onnx", op_types_to_quantize=["Conv"])
        assert "5 ConvInteger" in str(why_slow(optimized(tmp_path / "dynamic.onnx", tmp_path)))

    def test_float_convolutions_among_quantized_ones_are_slow(
        self, residual: Files, tmp_path: Path, quiet: Progress
    ) -> None:
        excluded = ["conv_a0", "conv_b0"]
        result = static(residual, tmp_path / "static", quiet, excludeNodes=excluded)
        assert why_slow(optimized(result, tmp_path)) == "3 of 5 convolutions run quantized, at least 80% should"


class TestProbe:
    def test_the_message_of_the_runtime_is_the_reason(self, perceptron: Files, tmp_path: Path) -> None:
        (tmp_path / "broken.onnx").write_bytes(b"no model")
        x = models.inputs_for(perceptron.model, 1)
        assert "Protobuf parsing failed" in str(probe.look(tmp_path / "broken.onnx", {"x": x}, tmp_path / "o.onnx"))
        assert "onnxruntime cannot run it" in str(probe.look(perceptron.model, {"x": x[:, :3]}, tmp_path / "o.onnx"))

    def test_a_runtime_that_crashes_ends_nothing_but_the_candidate(self, crashing: Path, tmp_path: Path) -> None:
        feed = {"x": np.zeros((1, 5, 6), np.float32)}
        said = probe.look(crashing, feed, tmp_path / "o.onnx")
        assert said == "onnxruntime crashed (signal 11) while it loaded or ran it"


class TestSensitivity:
    def test_the_node_that_adds_the_error_comes_first_not_those_that_pass_it_on(
        self, residual: Files, tmp_path: Path
    ) -> None:
        def disturb(model: onnx.ModelProto) -> None:
            for tensor in model.graph.initializer:
                if tensor.name == "w_b0":
                    values = numpy_helper.to_array(tensor)
                    tensor.CopyFrom(numpy_helper.from_array(values + 0.2, tensor.name))

        candidate = models.edited(residual.model, tmp_path / "candidate.onnx", disturb)
        source = onnx.load(residual.model)
        names = [node.name for node in source.graph.node]
        found = sensitivity.errors(source, candidate, names, [{"x": models.inputs_for(residual.model, 4)}])
        assert found.keys() == set(names)
        assert found.pop("conv_b0") > 0.1
        assert max(found.values()) < 1e-5

    def test_quantized_nodes_are_ranked_by_names_of_the_source(
        self, residual: Files, tmp_path: Path, quiet: Progress
    ) -> None:
        candidate = static(residual, tmp_path / "static", quiet)
        feeds = [{"x": models.inputs_for(residual.model, 4)}]
        ranked = sensitivity.rank(onnx.load(residual.model), candidate, ["conv_b0", "conv_b1", "head"], feeds)
        assert set(ranked) == {"conv_b0", "conv_b1", "head"}


class TestRecipes:
    def test_the_first_round_tries_what_is_there_each_once(self, residual: Files) -> None:
        named = [str(recipe) for recipe in recipes.first_round(onnx.load(residual.model), calibrated=True)]
        assert named == [
            "StoreWeights(FP16)",
            "StoreWeights(INT8)",
            "QuantizeDynamic",
            "QuantizeDynamic(Gemm)",
            "QuantizeStatic",
            "QuantizeStatic(Conv+Gemm)",
            "QuantizeStatic(Conv)",
            "QuantizeStatic(Gemm)",
        ]

    def test_without_calibration_nothing_static_is_tried(self, residual: Files) -> None:
        tried = recipes.first_round(onnx.load(residual.model), calibrated=False)
        assert not [recipe for recipe in tried if recipe.parts[0].type == recipes.STATIC]

    def test_exclusions_grow_and_never_exclude_all(self) -> None:
        assert list(recipes.most_sensitive(["d", "c", "b", "a"])) == [["d"], ["c", "d"]]
        assert list(recipes.most_sensitive(["a"])) == []

    def test_the_ends_are_the_first_and_the_last_layer(self, residual: Files, perceptron: Files) -> None:
        assert recipes.ends(onnx.load(residual.model).graph.node) == ["stem", "head"]
        assert recipes.ends(onnx.load(perceptron.model).graph.node) == []


def speed(ratio: float, lower: float, upper: float) -> Speed:
    return Speed(100, ratio, lower, upper, ONE, ONE)


def kept(name: str, ratio: float, transfer_bytes: int) -> SearchTrial:
    model = OnnxModel(Path(name), Digest("sha256:" + "0" * 64), transfer_bytes, (), ())
    return SearchTrial(
        SearchRecipe((Part(name),)),
        model=model,
        transfer_bytes=transfer_bytes,
        speed=speed(ratio, ratio - 0.01, ratio + 0.01),
    )


class TestSpeed:
    @pytest.mark.parametrize(
        ("lower", "upper", "expected"),
        [
            (1.031, 1.2, Pace.FASTER),
            (1.02, 9.0, Pace.TIE),
            (0.98, 1.02, Pace.TIE),
            (0.96, 1.5, Pace.SLOWER),
            (0.5, 0.6, Pace.SLOWER),
        ],
    )
    def test_a_candidate_is_faster_or_slower_by_the_interval_of_its_speed(
        self, lower: float, upper: float, expected: Pace
    ) -> None:
        assert pace(speed((lower + upper) / 2, lower, upper)) is expected

    def test_the_interval_holds_the_middle_order_statistics(self) -> None:
        """For 100 pairs, it starts at rank (100 - 2.576 * 10) / 2 = 37, counted from 0, at either end."""
        found = speed_of([float(number) for number in range(100, 0, -1)], [1.0] * 100)
        assert (found.runs, found.lower, found.ratio, found.upper) == (100, 38, 50.5, 63)

    def test_times_of_a_coarse_clock_may_be_zero(self) -> None:
        found = speed_of([0.0] * 20, [0.0] * 20)
        assert (found.lower, found.ratio, found.upper) == (1, 1, 1)

    def test_a_model_beside_itself_is_timed_pair_by_pair(self, perceptron: Files, even_clock: None) -> None:
        model = check_model(perceptron.model)
        feeds = sample_feeds(model, generate(model), 4)
        assert feeds is not None
        found = compare_speed(model, model, feeds, max_runs=40)
        assert (found.runs, found.lower, found.upper) == (40, pytest.approx(1.0), pytest.approx(1.0))


class TestChoice:
    def test_the_source_is_served_when_nothing_was_kept(self) -> None:
        dropped = [SearchTrial(SearchRecipe((Part("a"),)), dropped="broken")]
        chosen = choice.choose(dropped, "Balanced", 100)
        assert chosen.trial is None
        assert chosen.reason == "serve the source: none of 1 tried keeps the budget at the speed of the source"

    def test_each_objective_takes_its_own(self) -> None:
        trials = [kept("fast", 3.0, 90), kept("small", 1.2, 20), kept("both", 2.5, 30)]
        taken = {name: choice.choose(trials, name, 100).trial for name in choice.OBJECTIVES}
        assert {name: str(trial.recipe) for name, trial in taken.items() if trial} == {
            "Speed": "fast",
            "Size": "small",
            "Balanced": "both",
        }

    def test_a_tie_counts_as_the_same_speed(self) -> None:
        assert choice.choose([kept("tie", 1.03, 100)], "Speed", 100).trial is None
        assert choice.choose([kept("tie", 1.03, 100)], "Balanced", 100).trial is None

    def test_among_equals_within_noise_the_smaller_is_chosen(self) -> None:
        chosen = choice.choose([kept("large", 2.02, 90), kept("small", 2.0, 50)], "Speed", 100)
        assert chosen.trial is not None
        assert str(chosen.trial.recipe) == "small"

    def test_the_front_holds_those_that_none_beats_in_both(self) -> None:
        trials = [kept("fast", 3.0, 90), kept("small", 1.2, 20), kept("worse", 1.1, 95)]
        mark_front(trials)
        assert [trial.on_front for trial in trials] == [True, True, False]


class TestTrials:
    @pytest.fixture
    def trials(self, residual: Files, tmp_path: Path, quiet: Progress) -> Trials:
        source = check_model(residual.model)
        selection = load_dataset(residual.evaluation, source, tmp_path / "set", what="evaluation set")
        return Trials(source, selection, Budget(), Decimal("5.0"), "Close", Evaluator(quiet))

    def measured(self, trials: Trials, model: Path, folder: Path) -> SearchTrial:
        folder.mkdir()
        copy = folder / "candidate.onnx"
        copy.write_bytes(model.read_bytes())
        return trials.measure(SearchRecipe((Part("given"),)), copy)

    def test_a_candidate_of_other_answers_misses_accuracy(
        self, trials: Trials, residual: Files, tmp_path: Path, even_clock: None
    ) -> None:
        trial = self.measured(trials, models.permuted(residual.model, tmp_path / "permuted.onnx"), tmp_path / "one")
        assert trial.missed_accuracy
        assert str(trial.dropped).startswith("Fail: accuracy drops")

    def test_a_candidate_whose_outputs_the_gate_would_refuse_is_dropped(
        self, residual: Files, trials: Trials, tmp_path: Path, even_clock: None
    ) -> None:
        """The candidate's classes are right, by its labels, but its scores are unlike those of the source."""

        def flatten(model: onnx.ModelProto) -> None:
            for tensor in model.graph.initializer:
                if tensor.name in ("w_head", "b_head"):
                    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / 10, tensor.name))

        flat = models.edited(residual.model, tmp_path / "flat.onnx", flatten)
        trial = self.measured(trials, flat, tmp_path / "default")
        assert trial.missed_accuracy
        assert "maxRelativeErrorPercent" in str(trial.dropped)
        budget = Budget(max_accuracy_drop_percent=Decimal(1))
        by_labels = replace(trials, budget=budget, digests={})
        assert not self.measured(by_labels, flat, tmp_path / "labels").missed_accuracy

    def test_a_candidate_that_crashes_is_dropped_with_its_output(
        self, trials: Trials, perceptron: Files, tmp_path: Path
    ) -> None:
        trial = self.measured(trials, perceptron.model, tmp_path / "one")
        assert "onnxruntime cannot run it" in str(trial.dropped)
        assert trial.model is None

    def test_a_candidate_with_another_interface_is_dropped(
        self, trials: Trials, residual: Files, tmp_path: Path
    ) -> None:
        def rename(model: onnx.ModelProto) -> None:
            model.graph.node[-1].output[0] = model.graph.output[0].name = "other"

        trial = self.measured(trials, models.edited(residual.model, tmp_path / "r.onnx", rename), tmp_path / "one")
        assert "changed the model's outputs" in str(trial.dropped)

    def test_a_file_that_was_measured_already_is_not_measured_again(
        self, trials: Trials, residual: Files, tmp_path: Path
    ) -> None:
        trials.digests[trials.source.digest] = "the source"
        trial = self.measured(trials, residual.model, tmp_path / "one")
        assert trial.dropped == "the same file as the source"

    def test_a_candidate_over_the_size_of_the_budget_is_dropped(
        self, residual: Files, trials: Trials, tmp_path: Path
    ) -> None:
        trials.budget = Budget(max_size_bytes=100)
        trial = self.measured(trials, residual.model, tmp_path / "one")
        assert "limit 100 bytes" in str(trial.dropped)
        assert trial.speed is None
