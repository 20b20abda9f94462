from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
import torch

from edge_compressor.datasets import Dataset
from edge_compressor.models import runtime, weight_files
from edge_compressor.models.onnx_model import check_model
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.steps import plan
from edge_compressor.training import importance, program
from edgemodel import reasons
from edgemodel.compression_request import EXPORTED_PROGRAM, Source
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from edgemodel.names import MODEL_FILE
from tests.unit.edge_compressor.training import programs
from tests.unit.edge_compressor.training.conftest import Compress, Site, Trainer

pytestmark = pytest.mark.slow

QUICK = {"epochs": 2, "batchSize": 64, "learningRate": "0.05"}


def step(kind: str, **settings: Any) -> dict[str, Any]:
    return {"name": kind.lower(), "type": kind, kind[0].lower() + kind[1:]: settings}


def model_of(compressed: Compressed) -> onnx.ModelProto:
    return onnx.load(compressed.folder / MODEL_FILE)


def accuracy(compressed: Compressed) -> float:
    assert compressed.evaluation is not None
    assert compressed.evaluation.artifact is not None
    return compressed.evaluation.artifact.score


def test_a_program_without_steps_is_served_as_onnx(compress: Compress) -> None:
    compressed = compress()
    assert compressed.decision.reason is None
    assert compressed.evaluation is not None
    assert compressed.evaluation.agreement == 1.0
    assert accuracy(compressed) > 0.9
    assert [value.name for value in model_of(compressed).graph.input] == ["image"]
    assert [value.name for value in model_of(compressed).graph.output] == ["output"]


@pytest.fixture(scope="session")
def pruned(site: Site, sets: dict[str, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruned")
    with (folder / "log").open("w") as log:
        return Trainer(site, sets, folder, Progress(log)).apply("PruneChannels", roundTo=2)


def size(path: Path) -> int:
    return program.load(path, what="model", reason=reasons.STEP_FAILED).parameters


def layer_weights(path: Path) -> list[torch.Tensor]:
    module = program.load(path, what="model", reason=reasons.STEP_FAILED).module
    return [layer.weight.detach() for layer in module.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]


@pytest.mark.parametrize("importance", ["L1", "L2", "Taylor", "Entropy", "Correlation"])
@pytest.mark.parametrize("scope", ["Local", "Global"])
def test_every_importance_prunes(trainer: Trainer, site: Site, importance: str, scope: str) -> None:
    pruned = trainer.apply("PruneChannels", importance=importance, scope=scope, roundTo=2)
    assert size(pruned) < 0.6 * size(site.source)
    assert trainer.notes["parameters"] == {"before": size(site.source), "after": size(pruned)}


def test_importances_by_activations_prefer_informative_channels() -> None:
    random = torch.Generator().manual_seed(0)
    constant, noise = torch.zeros(400, 1), torch.randn(400, 2, generator=random)
    activations = torch.cat([constant, noise, noise[:, :1] * 2], dim=1)
    assert importance.entropy(activations)[0] == 0
    assert importance.entropy(activations)[1] > 3
    alone = importance.independence(activations)
    assert alone[0] == 0
    assert alone[2] > 0.8
    assert alone[3] < 0.01


def test_distilling_recovers_what_pruning_lost(trainer: Trainer, site: Site, pruned: Path) -> None:
    distilled = trainer.apply("Distill", pruned, **QUICK)
    assert trainer.accuracy(distilled) > max(trainer.accuracy(pruned), trainer.accuracy(site.source) - 0.05)


def test_pruning_in_rounds_trains_in_between(trainer: Trainer) -> None:
    once = trainer.apply("PruneChannels", roundTo=1)
    rounds = trainer.apply("PruneChannels", roundTo=1, iterations=2, **QUICK)
    assert abs(size(rounds) / size(once) - 1) < 0.25
    assert trainer.accuracy(rounds) > trainer.accuracy(once)


def test_a_flattened_model_is_pruned_too(trainer: Trainer, tmp_path: Path) -> None:
    source = programs.save(programs.trained(flat=True, epochs=1), tmp_path / "flat.pt2")
    assert size(trainer.apply("PruneChannels", source, roundTo=2)) < 0.6 * size(source)


def test_weights_become_zero_while_the_others_learn_and_stay_zero(trainer: Trainer) -> None:
    at_once = trainer.apply("PruneWeights", sparsityPercent=90, epochs=1, learningRate="0.000001")
    pruned = trainer.apply("PruneWeights", sparsityPercent=90, **QUICK | {"epochs": 6})
    zeros = trainer.notes["zeros"]
    assert (zeros["before"], zeros["after"]) == (0, sum(int(0.9 * one.numel()) for one in layer_weights(pruned)))
    assert trainer.accuracy(pruned) > trainer.accuracy(at_once) + 0.05
    distilled = trainer.apply("Distill", pruned, **QUICK)
    assert [int((one == 0).sum()) for one in layer_weights(distilled)] == [
        int((one == 0).sum()) for one in layer_weights(pruned)
    ]


def test_zeros_are_shared_out_over_all_layers_or_kept_from_some(trainer: Trainer) -> None:
    shared = trainer.apply("PruneWeights", sparsityPercent=60, scope="Global", **QUICK)
    shares = [float((one == 0).double().mean()) for one in layer_weights(shared)]
    assert max(shares) - min(shares) > 0.05
    assert trainer.notes["zeros"]["after"] == int(0.6 * trainer.notes["zeros"]["weights"])
    some = trainer.apply("PruneWeights", sparsityPercent=60, opTypes=["Conv"], excludeNodes=["layer_stem"], **QUICK)
    loaded = program.load(some, what="it", reason=reasons.STEP_FAILED).module
    kept = {name for name, one in loaded.named_parameters() if one.dim() > 1 and not bool((one == 0).any())}
    assert "layer_stem.weight" in kept
    assert len(kept) == 2  # and the head


def test_removing_a_block_makes_the_model_shallower(trainer: Trainer, site: Site) -> None:
    shallower = trainer.apply("PruneLayers", layers=1)
    assert len(trainer.notes["removed"]) == 1
    assert size(shallower) < size(site.source)


def test_quantization_aware_training_ends_in_int8(trainer: Trainer) -> None:
    model = onnx.load(trainer.apply("QuantizeAware", **QUICK | {"learningRate": "0.01"}))
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.INT8}
    assert max(int(np.abs(onnx.numpy_helper.to_array(tensor)).max()) for tensor in weights) <= 64


def test_the_whole_chain_prunes_distils_and_quantizes(compress: Compress) -> None:
    chain = (step("PruneChannels", roundTo=2), step("Distill", **QUICK), step("QuantizeStatic"))
    compressed = compress(*chain, budget={"maxAccuracyDropPercent": "5"})
    assert compressed.decision.reason is None, compressed.decision.message
    assert [one["type"] for one in compressed.manifest.evidence["steps"]] == [one["type"] for one in chain]


def test_a_student_learns_from_a_teacher_in_onnx(compress: Compress, site: Site, tmp_path: Path) -> None:
    untrained = programs.save(programs.Network(8), tmp_path / "student.pt2")
    teacher = Source(str(compress().folder / MODEL_FILE))
    compressed = compress(step("Distill", **QUICK | {"epochs": 6}), source=untrained, teacher=teacher)
    assert accuracy(compressed) > 0.9


def test_intermediate_layers_are_compared_by_name(trainer: Trainer, pruned: Path) -> None:
    distilled = trainer.apply("Distill", pruned, intermediateWeight="100", **QUICK)
    assert trainer.accuracy(distilled) > trainer.accuracy(pruned)


@pytest.mark.parametrize("method", ["DANN", "MMD", "CORAL", "None"])
def test_adapting_to_the_target_recovers_accuracy_there(
    trainer: Trainer, site: Site, sets: dict[str, Dataset], method: str
) -> None:
    images, labels = programs.samples(500, seed=9, dim=True)
    elsewhere = replace(sets["evaluation"], inputs={"image": images}, label=labels, size=500)
    adapted = trainer.apply("AdaptDomain", method=method, **QUICK)
    assert trainer.accuracy(site.source, elsewhere) < 0.7
    assert trainer.accuracy(adapted, elsewhere) > trainer.accuracy(site.source, elsewhere)


def test_a_new_head_learns_other_classes_from_what_the_source_knows(compress: Compress, tmp_path: Path) -> None:
    def halved(name: str, count: int, seed: int) -> Path:
        images, labels = programs.samples(count, seed=seed)
        np.savez(tmp_path / name, image=images, label=labels // 2)
        return tmp_path / name

    training, evaluation = halved("t.npz", 1024, 1), halved("e.npz", 500, 2)
    tune = step("FineTune", train="Frozen", newHeadClasses=2, **QUICK | {"epochs": 6})
    compressed = compress(tune, training=training, evaluation=evaluation)
    assert model_of(compressed).graph.output[0].type.tensor_type.shape.dim[1].dim_value == 2
    assert accuracy(compressed) > 0.85


def test_norms_that_were_frozen_learn_again_in_a_later_step(trainer: Trainer) -> None:
    made = trainer.apply("FineTune", train="Frozen", **QUICK)
    frozen = program.load(made, what="it", reason=reasons.STEP_FAILED)
    norms = [layer for layer in frozen.module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert norms
    assert {layer.momentum for layer in norms} == {0.1}


@pytest.mark.parametrize("batch_size", [128, 205, 256, 342, 512, 1024])
def test_few_batches_are_a_training_too(trainer: Trainer, batch_size: int) -> None:
    assert trainer.accuracy(trainer.apply("FineTune", epochs=1, batchSize=batch_size, learningRate="0.01")) > 0.8


def test_the_source_is_left_alone(trainer: Trainer, site: Site) -> None:
    before = digest_of_file(site.source)
    trainer.apply("FineTune", **QUICK)
    assert digest_of_file(site.source) == before


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("PruneChannels", {"ratioPercent": 5}, "nothing was pruned"),
        ("PruneChannels", {"ratioPercent": 100}, "want a whole number of 1 to 95"),
        ("PruneChannels", {"ratioPercent": 0}, "want a whole number of 1 to 95"),
        ("PruneChannels", {"excludeLayers": ["gone"]}, "excludeLayers gone match no layer"),
        ("PruneWeights", QUICK | {"opTypes": ["Gather"]}, "cannot be pruned while the model is trained"),
        ("PruneWeights", QUICK | {"excludeNodes": ["gone"]}, "match no layer; the layers are layer_stem, "),
        ("PruneLayers", {"layers": 50}, "could go without changing a shape"),
        ("Distill", {"alpha": "1.5"}, 'want a decimal in quotes, "0" to "1"'),
        ("FineTune", QUICK | {"learningRate": "10"}, "lower learningRate"),
    ],
)
def test_nonsense_is_reported_with_its_step(trainer: Trainer, kind: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(Stalled) as caught:
        trainer.apply(kind, **settings)
    assert caught.value.reason == reasons.STEP_FAILED
    assert caught.value.message.startswith("step one: ")
    assert told in caught.value.message


@pytest.mark.parametrize("kinds", [("QuantizeStatic", "Distill"), ("QuantizeAware", "FineTune")])
def test_what_is_trained_comes_before_what_makes_onnx(kinds: tuple[str, str]) -> None:
    with pytest.raises(Stalled, match=f"{kinds[1].lower()}: {kinds[1]} comes after {kinds[0].lower()}"):
        plan([{"name": kind.lower(), "type": kind} for kind in kinds], EXPORTED_PROGRAM)


def test_weights_are_pruned_without_training_where_nothing_can_be_trained() -> None:
    plan([{"name": "thin", "type": "PruneWeights"}])
    with pytest.raises(Stalled, match=r"PruneWeights with epochs trains the model, .* or leave epochs out"):
        plan([{"name": "thin", "type": "PruneWeights", "pruneWeights": {"epochs": 1}}])
    trained = {"name": "thin", "type": "PruneWeights", "pruneWeights": {"epochs": 1}}
    plan([trained, {"name": "distil", "type": "Distill"}], EXPORTED_PROGRAM)
    with pytest.raises(Stalled, match=r"Distill comes after thin \(PruneWeights\)"):
        plan([{"name": "thin", "type": "PruneWeights"}, {"name": "distil", "type": "Distill"}], EXPORTED_PROGRAM)


def test_a_teacher_of_another_task_is_refused(trainer: Trainer, tmp_path: Path) -> None:
    teacher = programs.save(programs.Network(8, classes=7), tmp_path / "other.pt2")
    with pytest.raises(Stalled, match="teacher of another task"):
        trainer.apply("Distill", context={"teacher": teacher}, **QUICK)


def test_labels_outside_the_range_are_refused(trainer: Trainer, sets: dict[str, Dataset]) -> None:
    training = replace(sets["training"], label=np.asarray(sets["training"].label) + 3)
    with pytest.raises(Stalled, match="training set: label 6 is out of range"):
        trainer.apply("FineTune", context={"training": training}, **QUICK)


def test_weights_that_are_not_finite_are_refused(trainer: Trainer, tmp_path: Path) -> None:
    network = programs.Network()
    network.stem.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(Stalled, match=r"1 of 144 values of the weight stem\.weight are not finite numbers"):
        trainer.apply("FineTune", programs.save(network, tmp_path / "nan.pt2"), **QUICK)


def test_a_fixed_batch_is_refused_for_training(trainer: Trainer, tmp_path: Path) -> None:
    source = programs.save(programs.Network(), tmp_path / "fixed.pt2", dynamic=False)
    with pytest.raises(Stalled, match=r"exported for a batch of 2, .*dynamic_shapes"):
        trainer.apply("FineTune", source, **QUICK)


def test_a_program_with_many_weights_becomes_a_graph_with_a_file_of_weights(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "MAX_INSIDE_BYTES", 1000)
    monkeypatch.setattr(weight_files, "SMALL_BYTES", 0)
    made = program.to_onnx(site.source, tmp_path / "made.onnx", what="source", reason=reasons.SOURCE_INVALID)
    model = check_model(made)
    assert model.weight_files == ("made.onnx.data",)
    graph = onnx.load(made, load_external_data=False).graph
    assert any(weight_files.is_outside(tensor) for tensor in graph.initializer)


class Words(torch.nn.Module):
    """The mean of the embedded words of each text."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = torch.nn.Embedding(50, 8), torch.nn.Linear(8, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows = self.table(ids) * mask[..., None]
        answer: torch.Tensor = self.head(rows.sum(1) / mask.sum(1, keepdim=True))
        return answer


@pytest.mark.parametrize("largest", [None, 128])
def test_every_open_dimension_of_a_program_stays_open(tmp_path: Path, largest: int | None) -> None:
    module, given = Words().eval(), (torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 7))
    batch, words = torch.export.Dim("batch"), torch.export.Dim("words", max=largest)
    shapes = ({0: batch, 1: words}, {0: batch, 1: words})
    torch.export.save(torch.export.export(module, given, dynamic_shapes=shapes), tmp_path / "m.pt2")
    made = program.to_onnx(tmp_path / "m.pt2", tmp_path / "m.onnx", what="source", reason=reasons.SOURCE_INVALID)
    model = check_model(made)
    assert [tensor.shape for tensor in model.inputs] == [(-1, -1), (-1, -1)]
    ids, mask = torch.randint(0, 50, (3, 11)), torch.ones(3, 11)
    feeds = {"ids": ids.numpy(), "mask": mask.numpy()}
    (answer,) = runtime.run(runtime.load(model), feeds)
    assert np.allclose(answer, module(ids, mask).detach().numpy(), atol=1e-6)
