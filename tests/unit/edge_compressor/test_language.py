"""Decoders through evaluation, gate and golden set: the next tokens of texts are the labels."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.evaluation import Evaluation, Evaluator
from edge_compressor.evaluation.golden_set import PAST_TOKENS, record_golden, sample_feeds
from edge_compressor.gate import GateResult, Measurements, judge
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import check_model
from edge_compressor.progress import Progress
from edge_runtime.decoder import CHUNK_TOKENS
from edge_runtime.tokens import load_tokens
from edgemodel import reasons
from edgemodel.budget import Budget
from edgemodel.compression_request import EvaluationSettings
from edgemodel.errors import Stalled
from edgemodel.verdict import Verdict
from inference_server.models.selftest import GoldenInvalid, run_golden
from tests.support.decoders import END, TINY, Array, texts, vocabulary, write_decoder
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench
from tests.unit.edge_compressor.models import Files
from tests.unit.support.test_decoders import bits

WINDOWS, TOKENS = 40, 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_decoder(tmp_path_factory.mktemp("source") / "decoder", external=False)


@pytest.fixture(scope="module")
def source(folder: Path) -> ModelFile:
    return check_model(folder / "model.onnx")


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    folder = tmp_path_factory.mktemp("spoiled") / "decoder"
    return check_model(write_decoder(folder, external=False, spoiled_layer=0) / "model.onnx")


@pytest.fixture(scope="module")
def own(folder: Path) -> Array:
    return texts(folder, WINDOWS, TOKENS)


def read(tokens: Array, model: ModelFile, folder: Path, **others: Array) -> Dataset:
    np.savez(folder / "set.npz", allow_pickle=False, input_ids=tokens, **others)
    return load_dataset(folder / "set.npz", model, folder / "unpacked", what="evaluation set")


@pytest.fixture
def dataset(own: Array, source: ModelFile, tmp_path: Path) -> Dataset:
    return read(own, source, tmp_path)


def quantized(bench: Bench, folder: Path, **settings: Any) -> ModelFile:
    nothing = folder / "nothing"
    return check_model(bench.apply("QuantizeWeights", Files(folder / "model.onnx", nothing, nothing), **settings))


def gate(found: Evaluation, **limits: str) -> GateResult:
    measured = Measurements(found.answers, False, 1, None, perplexity=found.perplexity, alike=found.alike)
    return judge(measured, Budget(**{name: Decimal(limit) for name, limit in limits.items()}))


def test_the_bits_are_those_of_the_whole_texts(
    source: ModelFile, spoiled: ModelFile, dataset: Dataset, folder: Path, own: Array, quiet: Progress
) -> None:
    found = Evaluator(quiet).evaluate(source, spoiled, dataset)
    assert found.task == "Language"
    assert found.source
    assert found.artifact
    assert found.perplexity
    assert found.source.figures["bitsPerToken"] == pytest.approx(bits(folder, own), abs=1e-4)
    rise = found.artifact.figures["bitsPerToken"] - found.source.figures["bitsPerToken"]  # type: ignore[operator]
    assert found.perplexity.bits == pytest.approx(rise, abs=1e-9)
    assert found.perplexity.interval.lower < rise < found.perplexity.interval.upper
    assert found.perplexity.tokens == WINDOWS * (TOKENS - 1)


def test_texts_of_different_lengths_are_read_to_their_ends(
    source: ModelFile, spoiled: ModelFile, own: Array, tmp_path: Path, quiet: Progress
) -> None:
    cut = own.copy()
    cut[::2, 10:] = -1
    found = Evaluator(quiet).evaluate(source, spoiled, read(cut, source, tmp_path))
    assert found.perplexity
    assert found.perplexity.tokens == WINDOWS // 2 * (9 + TOKENS - 1)
    long = read(texts(source.path.parent, 2, CHUNK_TOKENS + 5), source, tmp_path)
    found = Evaluator(quiet).evaluate(source, spoiled, long)
    assert found.perplexity
    assert found.perplexity.tokens == 2 * (CHUNK_TOKENS + 4)


def test_the_gate_passes_eight_bits_and_stops_a_spoiled_layer(
    source: ModelFile, spoiled: ModelFile, dataset: Dataset, folder: Path, bench: Bench, quiet: Progress
) -> None:
    evaluator = Evaluator(quiet)
    healthy = evaluator.evaluate(source, quantized(bench, folder), dataset)
    assert gate(healthy, max_perplexity_increase_percent="5", min_agreement_percent="90").reason is None
    broken = gate(evaluator.evaluate(source, spoiled, dataset), max_perplexity_increase_percent="5")
    assert broken.reason == reasons.BUDGET_EXCEEDED
    assert "perplexity rises" in broken.message
    assert "tokens in 40 texts" in broken.message
    told = gate(evaluator.evaluate(source, spoiled, dataset), min_agreement_percent="90")
    assert told.reason == reasons.BUDGET_EXCEEDED
    assert "% of greedy tokens agree with the source's, floor 90 %" in told.message


def test_few_texts_leave_it_undecided_and_say_how_many_would_do(
    source: ModelFile, dataset: Dataset, folder: Path, bench: Bench, quiet: Progress
) -> None:
    found = Evaluator(quiet).evaluate(source, quantized(bench, folder, bits=4), dataset.every(10))
    assert found.perplexity is not None
    limit = f"{found.perplexity.increase * 100 + 1:.2f}"
    decision = gate(found, max_perplexity_increase_percent=limit)
    assert decision.checks[0].verdict is Verdict.INCONCLUSIVE
    assert "tokens would decide" in decision.message


def test_a_limit_without_texts_names_what_to_give(quiet: Progress) -> None:
    measured = Measurements(None, False, 1, None)
    decision = judge(measured, Budget(max_perplexity_increase_percent=Decimal(5), min_agreement_percent=Decimal(90)))
    assert decision.reason == reasons.EVALUATION_INCONCLUSIVE
    assert "give datasets.evaluation with texts of a decoder" in decision.message
    assert "agreement with the source is not measured" in decision.message


def test_texts_of_another_language_prove_nothing(
    source: ModelFile, spoiled: ModelFile, tmp_path: Path, quiet: Progress
) -> None:
    noise = np.random.default_rng(0).integers(0, TINY.vocabulary, (20, 20))
    found = Evaluator(quiet).evaluate(source, spoiled, read(noise, source, tmp_path))
    assert "made into tokens by another tokenizer" in found.doubt


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ids: ids[0], "want whole numbers, [texts, tokens]"),
        (lambda ids: ids.astype(np.float32), "want whole numbers, [texts, tokens]"),
        (lambda ids: np.where(ids == ids.max(), TINY.vocabulary, ids), f"and the model knows {TINY.vocabulary}"),
        (lambda ids: np.where(np.arange(TOKENS) == 3, -1, ids), "holds -1 within a text"),
        (lambda ids: np.where(np.arange(TOKENS) == 3, -2, ids), "holds -2, want tokens from 0"),
        (lambda ids: np.where(np.arange(TOKENS) > 0, -1, ids), "text 0 has 1 tokens"),
        (lambda ids: np.tile(ids, (1, 12)), "has 288 tokens, and the model reads 256"),
    ],
)
def test_texts_that_the_model_cannot_read_are_named(
    spoil: Any, said: str, own: Array, source: ModelFile, tmp_path: Path
) -> None:
    with pytest.raises(Stalled) as caught:
        read(spoil(own), source, tmp_path)
    assert caught.value.reason == reasons.DATASET_INVALID
    assert said in caught.value.message


def test_a_set_without_texts_says_what_it_has(source: ModelFile, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", tokens=np.zeros((2, 2), np.int64))
    with pytest.raises(Stalled, match=r"want either texts, or input_ids .*; it has tokens"):
        load_dataset(tmp_path / "set.npz", source, tmp_path / "unpacked", what="evaluation set")


def read_texts(texts: Any, model: ModelFile, folder: Path, tokenizer: Path | None = None) -> Dataset:
    np.savez(folder / "set.npz", allow_pickle=True, texts=texts)
    tokenizer = tokenizer or model.path.parent / "tokenizer.json"
    return load_dataset(folder / "set.npz", model, folder / "unpacked", what="evaluation set", tokenizer=tokenizer)


LONG = "the ringing of hello, Größe 😀 " * 40
TEXTS = ["hello the", LONG, "", "x"]


@pytest.mark.parametrize("stored", [TEXTS, [text.encode() for text in TEXTS], None])
def test_texts_become_windows_of_tokens(stored: Any, source: ModelFile, tmp_path: Path) -> None:
    if stored is None:
        (tmp_path / "set").write_text("\n".join(json.dumps({"id": 1, "text": text}) for text in TEXTS))
        tokenizer = source.path.parent / "tokenizer.json"
        dataset = load_dataset(
            tmp_path / "set", source, tmp_path / "unpacked", what="evaluation set", tokenizer=tokenizer
        )
    else:
        dataset = read_texts(stored, source, tmp_path)
    tokens = load_tokens(source.path.parent / "tokenizer.json")
    whole = tokens.encode(LONG, special=False)
    windows = [dataset.text(row) for row in range(dataset.size)]
    assert [list(one) for one in windows[1:]] == [whole[at : at + 256] for at in range(0, len(whole), 256)]
    assert tokens.decode(windows[0]) == "hello the"
    (note,) = dataset.notes
    assert f"4 texts are {len(whole) + len(windows[0])} tokens, in {dataset.size} windows of at most 256" in note
    assert "2 texts with fewer than 2 tokens are left out" in note


def test_each_window_begins_as_the_tokenizer_begins_a_text(source: ModelFile, tmp_path: Path) -> None:
    begins = {"SpecialToken": {"id": END, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    names = {END: {"id": END, "ids": [vocabulary()[END]], "tokens": [END]}}
    processor = {"type": "TemplateProcessing", "single": begins, "pair": begins, "special_tokens": names}
    tokenizer = json.loads((source.path.parent / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": processor}))
    dataset = read_texts(["." * 300], source, tmp_path, tmp_path / "tokenizer.json")
    assert [len(dataset.text(row)) for row in range(dataset.size)] == [256, 46]
    assert {int(dataset.text(row)[0]) for row in range(dataset.size)} == {vocabulary()[END]}


@pytest.mark.parametrize(
    ("texts", "reason", "said"),
    [
        (np.array(["a", None], object), reasons.DATASET_INVALID, "Python objects, which are pickled"),
        (np.array([["aa", "bb"]]), reasons.DATASET_INVALID, "<U2 of shape [1, 2], want a list of texts"),
        (np.array([b"\xff\xfe"]), reasons.DATASET_INVALID, "some are not UTF-8"),
        (np.arange(3), reasons.DATASET_INVALID, "want a list of texts"),
        (np.array(["", "x"]), reasons.DATASET_EMPTY, "no text of texts has 2 tokens or more"),
        (np.array(["x" * 101]), reasons.DATASET_INVALID, "more than 100 characters of text, the limit"),
    ],
)
def test_texts_that_are_none_are_named(
    texts: Any, reason: str, said: str, source: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_compressor.datasets.texts.MAX_TEXT_CHARACTERS", 100)
    with pytest.raises(Stalled) as caught:
        read_texts(texts, source, tmp_path)
    assert caught.value.reason == reason
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": 3}', "line 2 has no member text"),
        ("[]", "line 2 has no member text"),
        ('{"text": "a', "line 2 is not JSON"),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_a_line_without_a_text_is_named(line: str, said: str, source: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "set").write_text(f'{{"text": "hello"}}\n{line}\n')
    with pytest.raises(Stalled, match=said) as caught:
        load_dataset(tmp_path / "set", source, tmp_path / "unpacked", what="evaluation set")
    assert caught.value.reason == reasons.DATASET_INVALID


def test_the_tokenizer_of_another_model_is_refused_with_both_numbers(source: ModelFile, tmp_path: Path) -> None:
    tokenizer = json.loads((source.path.parent / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["other"] = TINY.vocabulary + 8
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(Stalled) as caught:
        read_texts(["hello"], source, tmp_path, tmp_path / "tokenizer.json")
    assert caught.value.reason == reasons.SOURCE_INVALID
    said = f"tokens up to {TINY.vocabulary + 8}, and the model knows {TINY.vocabulary}"
    assert said in caught.value.message
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(Stalled, match=r"source: tokenizer\.json is no tokenizer: "):
        read_texts(["hello"], source, tmp_path, tmp_path / "tokenizer.json")


def test_texts_need_a_tokenizer_and_no_second_form(source: ModelFile, own: Array, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", texts=["hello"])
    with pytest.raises(Stalled, match=r"the source has none: give the source as a folder with tokenizer\.json"):
        load_dataset(tmp_path / "set.npz", source, tmp_path / "unpacked", what="evaluation set")
    with pytest.raises(Stalled, match="it has both input_ids and texts"):
        read(own, source, tmp_path, texts=np.array(["hello"]))


def test_a_decoder_has_no_other_task_and_no_other_model_has_this_one(
    source: ModelFile, dataset: Dataset, quiet: Progress, perceptron: Files, tmp_path: Path
) -> None:
    with pytest.raises(Stalled, match="the model is a decoder"):
        Evaluator(quiet, EvaluationSettings("Classification")).evaluate(source, source, dataset)
    other = check_model(perceptron.model)
    labelled = load_dataset(perceptron.evaluation, other, tmp_path / "other", what="evaluation set")
    with pytest.raises(Stalled, match="wants a decoder with inputs input_ids and the cache"):
        Evaluator(quiet, EvaluationSettings("Language")).evaluate(other, other, labelled)


def test_a_decoder_is_timed_by_its_next_token(source: ModelFile, dataset: Dataset) -> None:
    (feed,) = sample_feeds(source, dataset, 1) or []
    assert feed["input_ids"].shape == (1, 1)
    assert feed["attention_mask"].shape == (1, PAST_TOKENS + 1)
    assert runtime.run(runtime.load(source), feed)[0].shape == (1, 1, TINY.vocabulary)


def test_the_golden_set_stops_a_spoiled_layer_and_takes_kilobytes(
    source: ModelFile, spoiled: ModelFile, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "golden.npz"
    golden = record_golden(source, dataset, 64, path)
    assert golden is not None
    assert golden.agreement == "Tokens"
    assert path.stat().st_size < 16_000
    loaded, broken = runtime.load(source), runtime.load(spoiled)
    assert run_golden(loaded.run, loaded.signature, golden, path).passed
    result = run_golden(broken.run, broken.signature, golden, path)
    assert not result.passed
    assert result.items == golden.items > 100


def test_a_golden_set_of_texts_that_does_not_fit_is_named(source: ModelFile, dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    golden = record_golden(source, dataset, 4, path)
    assert golden is not None
    loaded = runtime.load(source)
    with pytest.raises(GoldenInvalid, match="places are judged"):
        run_golden(loaded.run, loaded.signature, replace(golden, items=golden.items + 1), path)
    with np.load(path) as held:
        arrays = dict(held)
    np.savez(path, tokens=arrays["tokens"] + TINY.vocabulary, expected=arrays["expected"])
    with pytest.raises(GoldenInvalid, match="not among the model's"):
        run_golden(loaded.run, loaded.signature, golden, path)
    np.savez(path, tokens=arrays["tokens"])
    with pytest.raises(GoldenInvalid, match="has tokens and expected"):
        run_golden(loaded.run, loaded.signature, golden, path)
    other = runtime.load_onnx(models.perceptron(tmp_path / "other.onnx"))
    with pytest.raises(GoldenInvalid, match="the model is no decoder"):
        run_golden(other.run, other.signature, golden, path)
