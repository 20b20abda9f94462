"""The parts of generation: the decoder, the turns of sequences, sampling, stop texts, text, and limits."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from edge_runtime.backend import LoadFailure, RunFailure
from edge_runtime.loading import load_generator
from edge_runtime.tokens import load_tokens
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import ONNX_RUNTIME, Golden
from edgemodel.generation import Generation
from inference_server.generate import loading
from inference_server.generate.engine import Engine, GenerationRequest, Piece
from inference_server.generate.limits import GenerationLimits, GenerationSettings, limits_of, memory_limit, shortage
from inference_server.generate.sampling import Sampler
from inference_server.generate.stop_texts import StopTexts
from inference_server.generate.text_decoder import TextDecoder
from inference_server.models.loading import load, prepare, read_manifest
from tests.support.text_models import CONTEXT, TOKENS, write_text_model
from tests.unit.inference_server import artifacts

LIMITS = GenerationLimits(CONTEXT, 2, CONTEXT, 3600, queue_length=100, timeout_seconds=3600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a model whose scores depend on all tokens before."""
    return write_text_model(tmp_path_factory.mktemp("text"), "abc", endless=True, attention=10)


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    generator = load_generator(folder / "model.onnx", ONNX_RUNTIME, Tuning())
    engine = Engine(generator, load_tokens(folder / "tokenizer.json"), frozenset(), LIMITS)
    yield engine
    engine.close()


def ids(text: str) -> list[int]:
    return [number % 200 for number in text.encode()]


def test_a_prompt_in_pieces_has_the_scores_of_the_whole(folder: Path) -> None:
    generator = load_generator(folder / "model.onnx", ONNX_RUNTIME, Tuning())
    prompt = np.arange(100) % 250
    whole = generator.feed(generator.new_cache(CONTEXT), prompt).copy()
    cache = generator.new_cache(128)
    for start in range(0, 100, 7):
        pieces = generator.feed(cache, prompt[start : start + 7])
    np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-4)
    cache.tokens = 50
    again = generator.feed(cache, prompt[50:])
    np.testing.assert_allclose(again, whole, rtol=1e-4, atol=1e-4)
    other = prompt.copy()
    other[3] += 1
    assert not np.allclose(generator.feed(generator.new_cache(CONTEXT), other), whole, rtol=1e-3, atol=1e-3)
    generator.close()


def run(engine: Engine, *requests: GenerationRequest) -> tuple[list[str], list[int]]:
    """Returns the text of each request, and the order in which their tokens came, by the number of the request."""
    pieces: SimpleQueue[tuple[int, Piece]] = SimpleQueue()

    all_there = threading.Event()

    def deliver(number: int, piece: Piece) -> None:
        assert all_there.wait(30)
        pieces.put((number, piece))

    for number, request in enumerate(requests):
        engine.submit(request, partial(deliver, number))
    all_there.set()
    texts, order, left = [""] * len(requests), list[int](), len(requests)
    while left:
        number, piece = pieces.get(timeout=30)
        assert piece.error is None
        texts[number] += piece.text
        order.append(number)
        left -= piece.finish is not None
    return texts, order


def test_sequences_beside_each_other_say_what_each_says_alone(engine: Engine) -> None:
    requests = [GenerationRequest(ids(text), 40) for text in ("one", "another one", "and a third", "x" * 200)]
    alone = [run(engine, request)[0][0] for request in requests]
    assert len(set(alone)) == len(alone)
    assert run(engine, *requests)[0] == alone


def test_sequences_take_turns(engine: Engine) -> None:
    _, order = run(engine, *(GenerationRequest(ids("ab"), 30) for _ in range(2)))
    first = order.index(1)
    assert order[first : first + 20] == [1, 0] * 10


def test_a_long_prompt_lets_others_go_on(engine: Engine) -> None:
    both_there = threading.Event()
    tokens: list[Piece] = []
    answered: SimpleQueue[int] = SimpleQueue()

    def note(piece: Piece) -> None:
        assert both_there.wait(30)
        tokens.append(piece)

    short = engine.submit(GenerationRequest(ids("a"), 200), note)
    engine.submit(GenerationRequest(ids("y" * 200), 1), lambda _: answered.put(len(tokens)))
    both_there.set()
    assert 200 // 32 <= answered.get(timeout=30) < 200
    engine.cancel(short)


def test_the_most_probable_token_is_chosen_without_temperature() -> None:
    scores = np.array([0, 3, 2], np.float32)
    assert Sampler(0, 1, None).choose(scores) == 1


def test_the_choice_follows_temperature_and_top_p() -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    scores = np.log(shares).astype(np.float32)
    sampler = Sampler(1, 1, 7)
    counts = np.bincount([sampler.choose(scores) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, shares, atol=0.04)
    nucleus = Sampler(1, 0.7, 7)
    assert {nucleus.choose(scores) for _ in range(500)} == {0, 1}
    assert {Sampler(1, 0.001, seed).choose(scores) for seed in range(50)} == {0}
    cold = Sampler(0.25, 1, 7)
    assert np.bincount([cold.choose(scores) for _ in range(2000)])[0] / 2000 > 0.83


def test_a_large_vocabulary_is_sampled_as_a_small_one() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=1000).astype(np.float32) * 3
    shares = np.exp(scores.astype(np.float64))
    shares /= shares.sum()
    order = np.argsort(-shares)
    nucleus = set(order[: int(np.searchsorted(np.cumsum(shares[order]), 0.6)) + 1].tolist())
    for top_p, allowed in ((1, set(range(1000))), (0.6, nucleus)):
        sampler = Sampler(1, top_p, 3)
        drawn = [sampler.choose(scores) for _ in range(3000)]
        assert set(drawn) <= allowed
        expected = shares[order[0]] / sum(shares[token] for token in allowed)
        assert drawn.count(order[0]) / 3000 == pytest.approx(expected, abs=0.04)
    flat = Sampler(2, 0.999, 5)
    assert len({flat.choose(np.zeros(1000, np.float32)) for _ in range(500)}) > 300


def test_scores_that_are_not_numbers_fail_by_name() -> None:
    with pytest.raises(RunFailure, match="not numbers"):
        Sampler(0, 1, None).choose(np.array([1, np.nan, 2], np.float32))


def stopped(stops: list[str], *pieces: str) -> tuple[str, bool]:
    texts = StopTexts(stops)
    said = ""
    for piece in pieces:
        text, found = texts.push(piece)
        said += text
        if found:
            return said, True
    return said + texts.rest(), False


def test_stop_texts_are_found_across_pieces_and_what_was_held_is_let_go() -> None:
    assert stopped(["END"], "a", "bE", "N", "Dc") == ("ab", True)
    assert stopped(["END"], "aE", "N") == ("aEN", False)
    assert stopped(["aab"], "a", "a", "a", "b") == ("a", True)
    assert stopped(["xy", "y"], "axy") == ("a", True)
    assert stopped([], "a", "b") == ("ab", False)


def test_whole_characters_come_out_whatever_the_tokens(folder: Path) -> None:
    tokens = load_tokens(folder / "tokenizer.json")
    text = "aä€😀 \U0001f469\u200d\U0001f680z"
    decoder = TextDecoder(tokens)
    pieces = [decoder.push(token) for token in tokens.encode(text, special=False)]
    assert "".join(pieces) + decoder.rest() == text
    assert [piece for piece in pieces if piece] == list(text)


def test_bytes_that_are_no_characters_do_not_hold_the_text_back(folder: Path) -> None:
    tokens = load_tokens(folder / "tokenizer.json")
    (half,) = set(tokens.encode("ä", special=False)[:1])
    decoder = TextDecoder(tokens)
    pieces = [decoder.push(half) for _ in range(40)]
    assert sum(bool(piece) for piece in pieces) >= 3
    assert set("".join(pieces) + decoder.rest()) == {"\N{REPLACEMENT CHARACTER}"}


def test_a_text_that_goes_on_keeps_the_space_at_its_beginning(tmp_path: Path) -> None:
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    model = {"type": "WordLevel", "vocab": {"▁hello": 0, "▁world": 1}, "unk_token": "▁hello"}
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({"version": "1.0", "pre_tokenizer": space, "decoder": space, "model": model}))
    tokens = load_tokens(file)
    assert TextDecoder(tokens).push(1) == "world"
    assert TextDecoder(tokens, [0]).push(1) == " world"
    assert [TextDecoder(tokens, before).rest() for before in ([], [0, 1])] == ["", ""]


def test_a_text_goes_on_within_a_character(folder: Path) -> None:
    tokens = load_tokens(folder / "tokenizer.json")
    ids = tokens.encode("a€b", special=False)
    decoder = TextDecoder(tokens, ids[:3])
    assert [decoder.push(token) for token in ids[3:]] == ["€", "b"]


def test_a_prompt_begins_once(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, "abc", template=None)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    begins = [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    names = {"<|im_start|>": {"id": "<|im_start|>", "ids": [TOKENS["<|im_start|>"]], "tokens": ["<|im_start|>"]}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing", "single": begins, "pair": begins, "special_tokens": names,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    manifest = read_manifest(folder)
    assert not isinstance(manifest, LoadFailure)
    model = loading.load_text_model(folder, manifest, Tuning(), GenerationSettings())
    once = [TOKENS["<|im_start|>"], TOKENS["a"]]
    assert model.text("a") == model.text("<|im_start|>a") == once
    assert model.text("<|im_start|><|im_start|>a") == [once[0], *once]
    model.close()


def test_all_files_that_name_ends_are_heeded(folder: Path) -> None:
    tokens = load_tokens(folder / "tokenizer.json")
    configs = {
        "config.json": {"eos_token_id": 1},
        "generation_config.json": {"eos_token_id": [2, 3]},
        "tokenizer_config.json": {"eos_token": {"content": "<|im_end|>"}},
    }
    end = tokens.id_of("<|im_end|>")
    assert loading.stop_tokens(configs, {"stopTokenIds": [4]}, tokens) == {1, 2, 3, 4, end}
    assert loading.stop_tokens({name: {} for name in configs}, {}, tokens) == frozenset()


def test_limits_follow_the_settings_and_the_model() -> None:
    assert limits_of(GenerationSettings(), 512).context_tokens == 512
    assert limits_of(GenerationSettings(Generation(context_tokens=100)), 512).max_new_tokens == 100
    with pytest.raises(ValueError, match=r"1000.*512"):
        limits_of(GenerationSettings(Generation(context_tokens=1000)), 512)


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "memory_limit", lambda: 64 * 2**20)
    monkeypatch.setattr(loading, "load_generator", lambda *_: pytest.fail("it is loaded"))
    manifest = read_manifest(folder)
    assert not isinstance(manifest, LoadFailure)
    with pytest.raises(
        LoadFailure, match=r"needs 68 MB, the memory limit is 67 MB.*2 sequences of 256 tokens"
    ) as raised:
        loading.load_text_model(folder, manifest, Tuning(), GenerationSettings())
    assert raised.value.reason == reasons.INSUFFICIENT_MEMORY


def test_memory_is_weights_cache_and_runtime() -> None:
    limits = replace(LIMITS, context_tokens=2048, sequences=2)
    needed = 100_000_000 + 46_080 * 2048 * 2 + 64 * 2**20
    assert shortage(100_000_000, 46_080, limits, needed) is None
    assert shortage(100_000_000, 46_080, limits, None) is None
    said = shortage(100_000_000, 46_080, limits, needed - 1_000_000)
    assert said is not None
    assert "needs 356 MB, the memory limit is 355 MB" in said


def test_the_memory_limit_is_that_of_the_container(tmp_path: Path) -> None:
    file = tmp_path / "memory.max"
    assert memory_limit(file) is None
    file.write_text("max\n")
    assert memory_limit(file) is None
    file.write_text("536870912\n")
    assert memory_limit(file) == 2**29


def test_a_graph_that_is_no_decoder_says_what_it_lacks(tmp_path: Path) -> None:
    artifacts.write_mlp(tmp_path)
    with pytest.raises(LoadFailure, match=r"no decoder.*past_key_values"):
        load_generator(tmp_path / "model.onnx", ONNX_RUNTIME, Tuning())


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": {"type": "Other"}}'])
def test_a_damaged_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(LoadFailure, match=r"tokenizer.json is no tokenizer"):
        load_tokens(tmp_path / "tokenizer.json")


def test_a_configuration_that_describes_no_decoder_is_named(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, "abc")
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 4}))
    manifest = read_manifest(folder)
    assert not isinstance(manifest, LoadFailure)
    failed = load(folder, manifest, Tuning())
    assert isinstance(failed, LoadFailure)
    assert "config.json does not describe a decoder" in failed.message


@pytest.mark.parametrize(("right", "fails"), [(True, False), (False, True)])
def test_the_golden_set_of_a_decoder_is_answered_by_its_graph(folder: Path, right: bool, fails: bool) -> None:
    manifest = read_manifest(folder)
    assert not isinstance(manifest, LoadFailure)
    generator = load_generator(folder / "model.onnx", ONNX_RUNTIME, Tuning())
    cache, text, expected = generator.new_cache(CONTEXT), [7], list[int]()
    for _ in range(20):
        expected.append(int(generator.feed(cache, np.array(text[-1:])).argmax()))
        text.append(expected[-1])
    generator.close()
    if not right:
        expected = [token ^ 1 for token in expected]
    np.savez(folder / "golden.npz", tokens=np.array([text[:-1]], np.int32), expected=np.array([expected], np.int32))
    golden = Golden(20, "Tokens", 0.0, "95")
    prepared = prepare(folder, replace(manifest, golden=golden), Tuning())
    if fails:
        assert isinstance(prepared, LoadFailure)
        assert prepared.reason == reasons.GOLDEN_MISMATCH
    else:
        assert not isinstance(prepared, LoadFailure)
        assert prepared.golden is not None
        assert prepared.golden.agree == 20
        prepared.model.close()
