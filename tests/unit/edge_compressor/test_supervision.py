"""The process that supervises a compression: signals, exit codes, and the message when the other process crashes."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from edgemodel import reasons, report
from edgemodel.compression_request import CompressionRequest, Recipe, Source
from edgemodel.digest import digest_of
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput, PublishTarget
from tests.unit.edge_cli.commands import ROOT
from tests.unit.edge_compressor.conftest import Files

pytestmark = pytest.mark.slow

SECONDS: Final = 120
CRASHES: Final = {
    "segfault": ("ctypes.string_at(0)", "signal 11: native code used memory that is not its own"),
    "abort": ("os.abort()", "signal 6: native code gave up"),
    "killed": (
        "os.kill(os.getpid(), 9)",
        "signal 9, SIGKILL), as it does when memory runs out: raise spec.compression",
    ),
}
"""Ways to crash: what a step does, and what the user reads."""
WAYS: Final = [pytest.param(way, marks=() if way == "segfault" else pytest.mark.slow) for way in CRASHES]
STEP: Final = """
import ctypes, os, sys
from {module} import {name} as program

real = program.{work}

def crash(*_):
    {crash}

def work():
    from dataclasses import replace
    from edge_compressor import steps
    from edgemodel.compression_request import ONNX
    steps.STEPS["CleanGraph"] = replace(steps.STEPS["CleanGraph"], apply={{ONNX: crash}})
    return real()

program.{work} = work
sys.exit(program.start())
"""
"""A program of ours in which the step CleanGraph crashes."""
WORK: Final = """
import ctypes, os, signal, sys, time
from edge_compressor.supervision import note_line, note_step, supervised
from edgemodel.errors import Stalled

{setup}

def work():
    {work}

try:
    code = supervised(work)
except Stalled as crash:
    code = f"{{crash.reason}}: {{crash.message}}"
sys.exit(code)
"""


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"} | more


def supervise(work: str, setup: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a supervised function to its end; its lines are ``work``."""
    code = WORK.format(work=work.replace("\n", "\n    "), setup=setup)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False)


@contextlib.contextmanager
def supervising(work: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yields the process that supervises ``work``, and the number of the one that works and has begun."""
    code = WORK.format(work=f"print(os.getpid(), flush=True)\n{work}".replace("\n", "\n    "), setup="")
    options = {"stdout": subprocess.PIPE, "text": True, "env": environment()} | options
    with subprocess.Popen([sys.executable, "-c", code], **options) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


class TestEnding:
    @pytest.mark.parametrize("code", [0, 3, 143])
    def test_the_exit_code_is_that_of_the_work(self, code: int) -> None:
        assert supervise(f"return {code}").returncode == code

    def test_an_exit_within_the_work_is_one(self) -> None:
        assert supervise("sys.exit(2)").returncode == 2

    def test_a_crash_names_the_step(self) -> None:
        ended = supervise('note_step("step half"); note_line("x"); ctypes.string_at(0)')
        assert (ended.returncode, ended.stderr) == (
            1,
            "StepFailed: step half: the process crashed (signal 11: native code used memory that is not its own): "
            "change the step's settings (floatOpTypes, opTypes, excludeNodes), or take another step\n",
        )

    def test_a_crash_outside_a_step_names_the_last_line(self) -> None:
        ended = supervise('note_step("step half"); note_step(""); note_line("timing \\x1b both"); os.abort()')
        assert ended.stderr.startswith("CompressionFailed: the process crashed (signal 6: native code gave up), after ")
        assert '"timing' in ended.stderr
        assert "step half" not in ended.stderr

    def test_a_signal_without_a_name_is_a_crash(self) -> None:
        assert "crashed (signal 40: " in supervise("os.kill(os.getpid(), 40)").stderr

    def test_texts_are_cut(self) -> None:
        ended = supervise('note_step("\\N{GRINNING FACE}" * 5000); note_line("\\udc80" * 5000); os.abort()')
        assert "the process crashed (signal 6" in ended.stderr
        assert len(ended.stderr) < 2000

    def test_what_a_crash_has_spoilt_is_not_told(self) -> None:
        spoil = "from edge_compressor import supervision\nsupervision._page[:9] = b'[\"[[[[[[['\nos.abort()"
        assert supervise(spoil).stderr.startswith("CompressionFailed: the process crashed (signal 6")

    def test_a_crash_after_the_work_is_done_changes_nothing(self) -> None:
        assert supervise("atexit.register(os.abort)\nreturn 0", setup="import atexit").returncode == 0


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_a_signal_that_ends_the_work_ends_both(self, number: signal.Signals) -> None:
        restore = f"signal.signal({int(number)}, signal.SIG_DFL)"
        with supervising(f"{restore}\nprint('ready', flush=True)\nsignal.pause()") as (process, worker):
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(number)
            assert process.wait(SECONDS) == -number
            assert not Path(f"/proc/{worker}").exists()

    def test_the_work_may_answer_a_signal_with_an_exit_code(self) -> None:
        handle = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))"
        with supervising(f"{handle}\nprint('ready', flush=True)\nsignal.pause()") as (process, _):
            assert process.stdout is not None
            process.stdout.readline()
            process.terminate()
            assert process.wait(SECONDS) == 143

    def test_an_interrupt_from_the_terminal_reaches_the_work_once(self) -> None:
        """A second one would interrupt the cleaning up after the first."""
        master, terminal = os.openpty()
        work = """
waited, got = {signal.SIGINT, signal.SIGTERM}, []
signal.pthread_sigmask(signal.SIG_BLOCK, waited)
while signal.SIGTERM not in got:
    print(len(got), flush=True)
    got.append(signal.sigwait(waited))
return 10 + got.count(signal.SIGINT)
"""
        take = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
        code = WORK.format(work=work.strip().replace("\n", "\n    "), setup=take)
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=terminal,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment(),
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"0\n"
            os.write(master, b"\x03")
            assert process.stdout.readline() == b"1\n"
            process.terminate()  # what is passed on before it arrives before it
            assert process.wait(SECONDS) == 11
        os.close(master)
        os.close(terminal)

    def test_the_work_ends_with_the_process_that_supervises_it(self) -> None:
        with supervising("signal.pause()") as (process, worker):
            ended = os.pidfd_open(worker)
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert select.select([ended], [], [], SECONDS)[0]
            os.close(ended)

    def test_a_stopped_work_goes_on(self) -> None:
        with supervising("sys.stdin.readline()\nreturn 7", stdin=subprocess.PIPE) as (process, worker):
            os.kill(worker, signal.SIGSTOP)
            os.kill(worker, signal.SIGCONT)
            process.communicate("go on\n", timeout=SECONDS)
            assert process.returncode == 7


def test_the_process_that_supervises_is_small() -> None:
    probe = "import sys, edge_compressor.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], env=environment(), capture_output=True, text=True, check=True)
    heavy = {"numpy", "onnx", "onnxruntime", "torch", "urllib3", "yaml", "edge_oci", "edge_runtime"}
    assert not heavy & {name.partition(".")[0] for name in done.stdout.split()}
    with supervising("signal.pause()") as (process, _):
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))
        assert resident < 30_000  # KB


class TestCommandLines:
    @pytest.mark.parametrize("way", WAYS)
    def test_edgemodel_compress(self, perceptron: Files, tmp_path: Path, way: str) -> None:
        crash, said = CRASHES[way]
        steps = tmp_path / "steps.yaml"
        steps.write_text("- {name: clean, type: CleanGraph}")
        code = STEP.format(module="edge_cli", name="main", work="main", crash=crash)
        arguments = ["compress", "--source", perceptron.model, "--steps", steps, "--output", tmp_path / "out"]
        command = [sys.executable, "-c", code, *map(str, arguments)]
        ended = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path, check=False
        )
        assert ended.returncode == 3, ended.stderr
        last = ended.stderr.splitlines()[-1]
        reason = reasons.OUT_OF_MEMORY if way == "killed" else reasons.STEP_FAILED
        assert last.startswith(f"edgemodel: {reason}: step clean: ")
        assert said in last
        assert "step 1 of 1: clean (CleanGraph)" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("way", WAYS)
    def test_the_job(self, perceptron: Files, tmp_path: Path, way: str) -> None:
        crash, said = CRASHES[way]
        (tmp_path / "claims" / "data").mkdir(parents=True)
        (tmp_path / "claims" / "data" / "m.onnx").write_bytes(perceptron.model.read_bytes())
        order = JobInput(
            model="m",
            request=CompressionRequest(
                source=Source("pvc://data/m.onnx"),
                recipes=(Recipe("default", ({"name": "clean", "type": "CleanGraph"},)),),
            ),
            target=PublishTarget("registry.invalid", "m", f"registry.invalid/server@{digest_of(b'server')}"),
        )
        code = STEP.format(module="edge_compressor", name="__main__", work="work", crash=crash)
        places = ("termination-log", "work-directory", "secrets-directory", "claims-directory")
        folders = {"claims-directory": "claims", "termination-log": "log"}
        options = [f"--{name}={tmp_path / folders.get(name, name)}" for name in places]
        ended = subprocess.run(
            [sys.executable, "-c", code, *options],
            env=environment(**{JOB_INPUT_VARIABLE: order.encode()}),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ended.returncode == 3, ended.stdout + ended.stderr
        told = report.decode((tmp_path / "log").read_bytes())
        assert isinstance(told, report.Failed)
        assert told.reason == (reasons.OUT_OF_MEMORY if way == "killed" else reasons.STEP_FAILED)
        assert told.message.startswith("step clean: ")
        assert said in told.message
        assert not told.transient
        assert "step 1 of 1: clean (CleanGraph)" in ended.stdout
        assert ended.stdout.splitlines()[-1].partition("] ")[2].startswith('exit code 3: {"outcome":"Failed"')
