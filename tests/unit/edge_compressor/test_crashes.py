"""Crashes of native code: they end a child process, and become messages and exit codes like any other failure."""

import json
import os
import pickle
import signal
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

from edge_compressor.child_process import Crashed, FailedInChild, UnreadableAnswer, call
from edge_compressor.datasets import load_dataset
from edge_compressor.evaluation import first_sample
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.models.feed_file import read_feed, write_feed
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import check_model
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.errors import Stalled
from edgemodel.plain import from_plain
from tests.unit.edge_cli.commands import run
from tests.unit.edge_compressor import endings, models
from tests.unit.edge_compressor.conftest import Files


@dataclass(frozen=True)
class Processes:
    own: int
    parent: int


def process_of_a_call(folder: Path) -> Processes:
    """Returns the numbers of the process in which a function was called, and of the one that forked it."""
    call(endings.write_processes, str(folder / "processes"))
    own, parent = (folder / "processes").read_text().split()
    return Processes(int(own), int(parent))


class TestChildProcess:
    def test_each_call_has_a_process_of_its_own(self, tmp_path: Path) -> None:
        first, second = process_of_a_call(tmp_path), process_of_a_call(tmp_path)
        assert len({os.getpid(), first.own, second.own}) == 3
        assert first.parent == second.parent

    def test_arguments_may_be_longer_than_a_pipe_holds(self, tmp_path: Path) -> None:
        call(endings.write, str(tmp_path / "text"), "long " * 100_000)
        assert (tmp_path / "text").stat().st_size == 500_000

    def test_exceptions_are_told_in_words(self) -> None:
        with pytest.raises(FailedInChild, match=r"^'seven' is not a number$"):
            call(endings.number_of, "seven")

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
    def test_a_signal_is_named_and_the_next_call_is_answered(self, number: int) -> None:
        with pytest.raises(Crashed) as caught:
            call(endings.end_by, int(number))
        assert (caught.value.number, caught.value.during) == (number, "ran")
        call(endings.nothing)

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (pickle.dumps(("returned", None)) + b"\n", "it is not UTF-8 text"),
            (b"returned\n", "line 1, column 1: expecting value"),
            (b'["returned"]\n', "want an object"),
            (b'{"ended": "yes"}\n', "want true or false"),
            (b'{"ended": true, "value": 1}\n', "has no field value"),
            (b"{}\n", "says nothing"),
            (b'{"doing": "ran"}\n' * 1000, "more than 64 lines"),
            (b"[" * 60_000 + b"\n", "nested too deeply"),
            (b" " * 100_000, "longer than 65536 bytes"),
        ],
        ids=["pickle", "no-json", "list", "text", "more", "nothing", "many", "deep", "long"],
    )
    def test_an_answer_that_no_function_gives_is_an_error_of_its_own(self, answer: bytes, why: str) -> None:
        with pytest.raises(UnreadableAnswer, match=why):
            call(endings.answer, answer.decode("latin-1"))
        call(endings.nothing)

    def test_a_child_that_answers_without_end_is_ended(self) -> None:
        with pytest.raises(UnreadableAnswer, match="longer than"):
            call(endings.answer_without_end)
        call(endings.nothing)

    def test_time_is_limited(self) -> None:
        with pytest.raises(Crashed) as caught:
            call(endings.pause, max_seconds=1)
        assert caught.value.number == signal.SIGALRM

    @pytest.mark.slow
    def test_a_process_that_was_killed_is_replaced(self, tmp_path: Path) -> None:
        killed = process_of_a_call(tmp_path).parent
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(Crashed):
            call(endings.nothing)
        assert process_of_a_call(tmp_path).parent != killed


def test_feeds_pass_through_a_file_unchanged(tmp_path: Path) -> None:
    feed = {
        "file": np.array([[1.5, np.nan]], np.float32),
        "a/b.npy": np.array(7, np.int64),
        "a/b": np.array([True]),
        "": np.zeros((2, 0), np.uint16),
        "text": np.array(["é", "longer"]),
        "objects": np.array(["a", "bc"], object),
    }
    read = read_feed(tmp_path / "feed.npz", write_feed(tmp_path / "feed.npz", feed))
    assert list(read) == list(feed)
    for name, array in feed.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == (array.dtype if array.dtype.kind != "O" else np.dtype("<U2"))


def test_a_step_whose_result_crashes_the_runtime_fails_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, steps = models.gru_and_rnn(tmp_path / "m.onnx"), tmp_path / "steps.yaml"
    steps.write_text("- {name: half, type: Convert, convert: {precision: FP16}}")
    code = run("compress", "--source", model, "--steps", steps, "--output", tmp_path / "out")
    assert code == Stalled.exit_code
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("edgemodel: StepFailed: step half: its result: onnxruntime ")
    assert "crashed (signal 11) while it loaded it: change the step's settings (floatOpTypes, " in said


def test_a_source_that_crashes_the_runtime_is_refused(crashing: Path) -> None:
    with pytest.raises(
        Stalled, match=r"^source: onnxruntime .* crashed \(signal 11\) while it loaded it: export it anew"
    ):
        check_model(crashing)


class TestFirstSample:
    def test_a_crash_of_the_run_is_a_refusal(self, perceptron: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(first_sample, "run_a_sample", endings.crash_as_it_runs)
        with pytest.raises(Stalled) as caught:
            first_sample.refuse_a_crash(
                check_model(perceptron.model), None, what="source", reason=reasons.SOURCE_INVALID
            )
        assert caught.value.reason == reasons.SOURCE_INVALID
        assert "crashed (signal 11) while it ran it" in caught.value.message

    def test_a_child_that_the_system_killed_had_too_little_memory(
        self, perceptron: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(first_sample, "run_a_sample", endings.run_out_of_memory)
        with pytest.raises(MemoryError):
            first_sample.refuse_a_crash(
                check_model(perceptron.model), None, what="source", reason=reasons.SOURCE_INVALID
            )

    def test_an_unreadable_answer_is_a_refusal(self, perceptron: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(first_sample, "run_a_sample", endings.answer_garbage)
        with pytest.raises(Stalled) as caught:
            first_sample.refuse_a_crash(
                check_model(perceptron.model), None, what="source", reason=reasons.SOURCE_INVALID
            )
        assert caught.value.reason == reasons.SOURCE_INVALID
        assert "gave an answer that cannot be read (" in caught.value.message

    def test_the_sample_and_the_model_reach_the_child_whole(self, residual: Files, tmp_path: Path) -> None:
        model = replace(check_model(residual.model), tuning=Tuning(intra_op_threads=2), class_names=("a", "b"))
        dataset = load_dataset(residual.evaluation, model, tmp_path, what="evaluation set")
        told = json.loads(
            json.dumps([first_sample._plain_model(model), first_sample._plain_sample(dataset, tmp_path / "s.npz")])
        )
        assert from_plain(ModelFile, told[0]) == ModelFile(
            **{f.name: getattr(model, f.name) for f in fields(ModelFile)}
        )
        (expected,), (read,) = (
            sample_feeds(model, one, 1) or () for one in (dataset, first_sample._read_sample(told[1]))
        )
        assert expected.keys() == read.keys()
        assert all((expected[name] == read[name]).all() for name in expected)
        first_sample.run_a_sample(*told)

    def test_a_model_that_runs_passes(self, perceptron: Files) -> None:
        model = check_model(perceptron.model)
        first_sample.refuse_a_crash(model, None, what="source", reason=reasons.SOURCE_INVALID)
