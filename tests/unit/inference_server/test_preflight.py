"""The preflight program's measurements, in its termination message."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backend import LoadedModel
from edge_runtime.processor import INSTRUCTION_SETS, read_processor
from edge_runtime.tuning import Tuning
from edgemodel import names, preflight_report, reasons, serving
from edgemodel.artifact import Golden
from inference_server.models.loading import load, read_manifest
from inference_server.models.selftest import golden_feeds
from inference_server.preflight import MAX_RUNS, MEASURED_SECONDS, MIN_RUNS, WARM_UP_RUNS, WARM_UP_SECONDS, time_runs
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import AS_IN_THE_IMAGE, REPOSITORY

pytestmark = pytest.mark.slow


def run_preflight(directory: Path, tmp_path: Path) -> tuple[int, preflight_report.PreflightReport]:
    """Returns the (exit status, report) of the program, run as in its pod."""
    log = tmp_path / "termination-log"
    log.touch()
    done = subprocess.run(
        [sys.executable, "-m", AS_IN_THE_IMAGE, "inference_server.preflight", "--termination-log", str(log)],
        env={
            serving.MODEL_DIRECTORY: str(directory),
            "PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY}",
            "PATH": os.environ["PATH"],
        },
        timeout=60,
        check=False,
    )
    report = preflight_report.decode(log.read_bytes())
    assert report is not None
    return done.returncode, report


def loaded(directory: Path) -> tuple[LoadedModel, list[dict[str, np.ndarray]]]:
    """Returns the model and the inputs of its golden set."""
    manifest = read_manifest(directory)
    model = load(directory, manifest, Tuning())
    feeds = golden_feeds(model.signature, manifest.golden, directory / names.GOLDEN_FILE)
    return model, feeds


def test_a_good_artifact_is_measured(tmp_path: Path) -> None:
    status, report = run_preflight(artifacts.write_mlp(tmp_path / "model", items=64), tmp_path)
    assert status == 0
    assert isinstance(report, preflight_report.Measurement)
    assert report.agreement == preflight_report.GoldenAgreement(64, 64, "99.5")
    assert report.latency is not None
    assert 0 < float(report.latency.p50_milliseconds) <= float(report.latency.p95_milliseconds) < 1000
    assert MIN_RUNS <= report.latency.runs <= MAX_RUNS
    assert report.cpu == read_processor().name
    assert report.instruction_sets == read_processor().instruction_sets
    assert report.placed == ("CPUExecutionProvider",)


def test_an_artifact_with_other_answers_is_measured_but_not_judged(tmp_path: Path) -> None:
    status, report = run_preflight(artifacts.write_mlp(tmp_path / "model", items=64, wrong=56), tmp_path)
    assert status == 0
    assert isinstance(report, preflight_report.Measurement)
    assert report.agreement == preflight_report.GoldenAgreement(8, 64, "99.5")
    assert report.latency is not None


def test_without_a_golden_set_an_artifact_is_loaded_and_no_latency_is_reported(tmp_path: Path) -> None:
    status, report = run_preflight(artifacts.write(tmp_path / "model", artifacts.mlp()), tmp_path)
    assert status == 0
    assert isinstance(report, preflight_report.Measurement)
    assert (report.agreement, report.latency) == (None, None)


def test_a_changed_artifact_is_not_even_loaded(tmp_path: Path) -> None:
    directory = artifacts.write(tmp_path / "model", b"changed", artifact_digest="sha256:" + "a" * 64)
    status, report = run_preflight(directory, tmp_path)
    assert status == serving.EXIT_MODEL
    assert isinstance(report, preflight_report.Incompatible)
    assert report.reason == reasons.DIGEST_MISMATCH


@pytest.mark.parametrize("missing", ["manifest.json", "golden.npz"])
def test_a_missing_file_is_reported(tmp_path: Path, missing: str) -> None:
    directory = artifacts.write_mlp(tmp_path / "model")
    (directory / missing).unlink()
    status, report = run_preflight(directory, tmp_path)
    assert status == serving.EXIT_MODEL
    assert isinstance(report, preflight_report.Incompatible)
    assert report.reason == reasons.MODEL_LOAD_FAILED
    assert missing in report.message


def test_a_model_that_fails_on_its_golden_set_is_unfit(tmp_path: Path) -> None:
    golden = Golden(2, "Argmax", 0.0, "99")
    arrays = {"input.x": np.zeros((2, 15), np.float32), "output.scores": np.zeros((2, 4), np.float32)}
    directory = artifacts.write(tmp_path / "model", artifacts.mlp(), golden=golden, arrays=arrays)
    _, report = run_preflight(directory, tmp_path)
    assert isinstance(report, preflight_report.Incompatible)
    assert "the model fails on its golden set" in report.message


class Watch:
    """A clock whose readings are ``tick`` seconds apart."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def test_a_model_of_a_minute_per_run_is_timed_in_few_runs_with_little_warm_up(tmp_path: Path) -> None:
    watch = Watch(60)
    latency = time_runs(*loaded(artifacts.write_mlp(tmp_path)), watch)
    assert latency == preflight_report.LatencyPercentiles("60000.000", "60000.000", MIN_RUNS)
    assert watch.now < 60 * (3 * (WARM_UP_RUNS + MIN_RUNS) + 5)


def test_the_percentiles_are_of_times_that_were_measured(tmp_path: Path) -> None:
    """The percentiles of 20 runs are those of the 10th and the 19th fastest."""

    class Slower(Watch):
        """A clock whose readings are each one second further apart."""

        def __call__(self) -> float:
            self.tick += 1
            return super().__call__()

    watch = Slower(60)
    latency = time_runs(*loaded(artifacts.write_mlp(tmp_path)), watch)
    assert latency.runs == MIN_RUNS
    p50, p95 = float(latency.p50_milliseconds), float(latency.p95_milliseconds)
    assert p95 - p50 == pytest.approx(9 * 2000)


def test_a_quick_model_is_timed_until_there_are_enough_runs(tmp_path: Path) -> None:
    watch = Watch(1e-6)
    assert time_runs(*loaded(artifacts.write_mlp(tmp_path)), watch).runs == MAX_RUNS
    assert watch.now >= WARM_UP_SECONDS


def test_any_other_is_timed_for_some_seconds(tmp_path: Path) -> None:
    watch = Watch(0.01)
    latency = time_runs(*loaded(artifacts.write_mlp(tmp_path)), watch)
    assert MIN_RUNS < latency.runs < MAX_RUNS
    assert watch.now == pytest.approx(WARM_UP_SECONDS + MEASURED_SECONDS, abs=0.1)


def test_a_slow_model_takes_longer_than_a_quick_one(tmp_path: Path) -> None:
    quick, feeds = loaded(artifacts.write_mlp(tmp_path / "quick"))
    x = np.zeros((4, 64), np.float32)
    golden = Golden(4, "Close", 1e-3, "99")
    arrays = {"input.x": x, "output.y": np.zeros(4, np.float32)}
    slow, rows = loaded(artifacts.write(tmp_path / "slow", artifacts.rows(), golden=golden, arrays=arrays))
    assert float(time_runs(slow, rows).p50_milliseconds) > float(time_runs(quick, feeds).p50_milliseconds)


def test_the_longest_report_fits_a_termination_message() -> None:
    latency = preflight_report.LatencyPercentiles("999999.999", "999999.999", MAX_RUNS)
    longest = preflight_report.Measurement(
        preflight_report.GoldenAgreement(10**6, 10**6, "99.123456"), latency, "ü" * 500, INSTRUCTION_SETS
    )
    assert len(INSTRUCTION_SETS) <= preflight_report.MAX_SETS
    decoded = preflight_report.decode(preflight_report.encode(longest))
    assert isinstance(decoded, preflight_report.Measurement)
    assert (decoded.latency, decoded.instruction_sets) == (latency, INSTRUCTION_SETS)
    assert len(preflight_report.encode(preflight_report.Incompatible("ModelLoadFailed", "ü" * 5000))) <= 4096


@pytest.mark.parametrize("message", ["", "Traceback (most recent call last)", "[]", "{}", '{"agreement": {"x": 1}}'])
def test_other_texts_are_not_reports(message: str) -> None:
    assert preflight_report.decode(message) is None
