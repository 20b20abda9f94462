"""Crashes of native code: they end a child process, and become messages and exit codes like any other failure."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edge_compressor.child_process import Crashed, FailedInChild, call
from edge_compressor.evaluation import first_sample
from edge_compressor.models.onnx_model import check_model
from edgemodel import reasons
from edgemodel.errors import Stalled
from tests.unit.edge_cli.commands import run
from tests.unit.edge_compressor import endings, models
from tests.unit.edge_compressor.conftest import Files


class TestChildProcess:
    def test_it_returns_what_the_function_returns(self) -> None:
        values = np.arange(200_000)
        assert call(os.getpid) not in (os.getpid(), call(os.getpid))
        assert (call(np.flip, values) == values[::-1]).all()  # far more than a pipe holds

    def test_exceptions_are_told_in_words(self) -> None:
        with pytest.raises(FailedInChild, match=r"^'seven' is not a number$"):
            call(endings.number_of, "seven")

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
    def test_a_signal_is_named_and_the_next_call_is_answered(self, number: int) -> None:
        with pytest.raises(Crashed) as caught:
            call(endings.end_by, int(number))
        assert (caught.value.number, caught.value.during) == (number, "ran")
        assert call(os.getppid) > 1

    def test_time_is_limited(self) -> None:
        with pytest.raises(Crashed) as caught:
            call(signal.pause, max_seconds=1)
        assert caught.value.number == signal.SIGALRM

    def test_a_process_that_was_killed_is_replaced(self) -> None:
        os.kill(call(os.getppid), signal.SIGKILL)
        with pytest.raises(Crashed):
            call(os.getpid)
        assert call(os.getpid) > 1


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

    def test_a_model_that_runs_passes(self, perceptron: Files) -> None:
        model = check_model(perceptron.model)
        first_sample.refuse_a_crash(model, None, what="source", reason=reasons.SOURCE_INVALID)
