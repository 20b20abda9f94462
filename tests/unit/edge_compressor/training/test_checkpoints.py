"""An interrupted training continues and gives the same result; a checkpoint that does not match is ignored."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import nn

from edge_compressor.checkpoints.registry import CheckpointRegistry
from edge_compressor.checkpoints.store import CheckpointFolder
from edge_compressor.job import main as job
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.steps import StepContext
from edge_compressor.training import program
from edge_compressor.training.checkpoint import State, Training
from edge_compressor.training.loop import Schedule
from edge_oci.client import Registries
from edge_oci.images import Platform, push_image, push_index
from edge_oci.layers import write_layer
from edge_oci.references import Reference
from edge_oci.transport import Patience
from edgemodel import reasons, report
from edgemodel.compression_request import EXPORTED_PROGRAM, CompressionRequest, Recipe, Source
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput, PublishTarget
from edgemodel.report import Published
from examples.lab.site import ROOT
from tests.support.registry import RegistryProgram
from tests.unit.edge_compressor.servers import registry_program
from tests.unit.edge_compressor.training.conftest import Site, Trainer

QUICK = {"epochs": 2, "batchSize": 64, "learningRate": "0.05"}
LONG = {"epochs": 8, "batchSize": 64, "learningRate": "0.01"}
PATIENT = {"name": "tune", "type": "FineTune", "fineTune": LONG}


class Killed(BaseException):
    """The process is killed by a signal: at any point, and nothing catches it."""


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Returns a function that runs a training up to the first stored epoch."""
    keep = Training.keep

    def run(training: Callable[[], Any]) -> None:
        def once(self: Training, epochs: int) -> NoReturn:
            keep(self, epochs)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Training, "keep", once)
            with pytest.raises(Killed):
                training()

    return run


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], str]:
    return lambda: (tmp_path / "progress.log").read_text()


def weights(path: Path) -> dict[str, bytes]:
    module = program.load(path, what="model", reason=reasons.STEP_FAILED).module
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


CutOff = Callable[[Callable[[], Any]], None]
Log = Callable[[], str]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [("FineTune", "SGD"), ("Distill", "AdamW"), ("AdaptDomain", "SGD"), ("PruneWeights", "SGD")],
)
def test_training_resumes_from_its_checkpoint_and_ends_the_same(
    trainer: Trainer, tmp_path: Path, cut_off: CutOff, log: Log, kind: str, optimizer: str
) -> None:
    settings = QUICK | {"optimizer": optimizer, "learningRate": "0.01"}
    whole = trainer.apply(kind, **settings)
    context = {"checkpoints": CheckpointFolder(tmp_path / "kept")}
    cut_off(lambda: trainer.apply(kind, context=context, **settings))
    resumed = trainer.apply(kind, context=context, **settings)
    assert "resumes from a checkpoint after epoch 1" in log()
    assert weights(resumed) == weights(whole)


def test_another_pod_resumes_from_the_registry(
    trainer: Trainer, tmp_path: Path, quiet: Progress, registry: RegistryProgram, cut_off: CutOff, log: Log
) -> None:
    def pod(name: str) -> dict[str, Any]:
        access = RegistryAccess(plain_http_hosts=(registry.host,))
        return {"checkpoints": CheckpointRegistry(tmp_path / name, target(registry, "pods"), access, quiet)}

    whole = trainer.apply("FineTune", **QUICK)
    cut_off(lambda: trainer.apply("FineTune", context=pod("first"), **QUICK))
    resumed = trainer.apply("FineTune", context=pod("second"), **QUICK)
    assert "resumes from a checkpoint after epoch 1" in log()
    assert weights(resumed) == weights(whole)
    again = trainer.apply("FineTune", context=pod("third"), **QUICK)
    assert "resumes from a checkpoint after epoch 2" in log()
    assert weights(again) == weights(whole)


@pytest.mark.lab_programs
def test_a_registry_that_goes_away_fails_no_training(
    trainer: Trainer, tmp_path: Path, quiet: Progress, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Training.keep
    with registry_program(tmp_path / "registry") as own:
        access = RegistryAccess(plain_http_hosts=(own.host,), patience=Patience(tries=1))
        where = CheckpointRegistry(tmp_path / "kept", target(own, "away"), access, quiet)

        def and_stop(self: Training, epochs: int) -> None:
            keep(self, epochs)
            own.stop()

        monkeypatch.setattr(Training, "keep", and_stop)
        trainer.apply("FineTune", context={"checkpoints": where}, **QUICK)
    assert "pushed a checkpoint after epoch 1" in log()
    assert "the checkpoint after epoch 2 was not pushed" in log()


def target(registry: RegistryProgram, name: str, base: str = "") -> PublishTarget:
    return PublishTarget(registry.host, f"vision/{name}", base)


def training(folder: Path, progress: Progress, *, width: int = 3, settings: dict[str, Any] | None = None) -> Training:
    """Returns a training that has not begun: a layer whose first weights depend on the width."""
    torch.manual_seed(width)
    schedule = Schedule(**(SETTINGS | (settings or {})))
    parts = nn.ModuleList([nn.Linear(width, 2)])
    optimizer = torch.optim.AdamW(parts.parameters(), lr=schedule.learning_rate)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    context = StepContext("tune", folder, None, progress, checkpoints=CheckpointFolder(folder / "kept"), key="k")
    return Training(context, schedule, State(parts, optimizer, rates))


SETTINGS = {
    "epochs": 2, "batch_size": 64, "learning_rate": 0.1, "weight_decay": 0.0, "optimizer": "AdamW",
    "augmentation": "None", "seed": 0,
}  # fmt: skip


def go_on(state: State, steps: int) -> bytes:
    """Returns the weights after the given number of further steps."""
    for _ in range(steps):
        parts = state.parts
        loss = sum((value**2).sum() for value in parts.parameters()) + torch.rand(())
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        state.rates.step()
    return b"".join(value.detach().numpy().tobytes() for value in state.parts.parameters())


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoilt(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def pickled(path: Path) -> None:
    torch.save({"key": Harmful()}, path)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


def changed(**parts: Callable[[Any], Any]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        kept = torch.load(path, weights_only=True)
        torch.save(kept | {name: make(kept[name]) for name, make in parts.items()}, path)

    return change


def without_a_row(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value[1:] if value.dim() else value for name, value in tensors.items()}


def moments_without_a_row(optimizer: dict[str, Any]) -> dict[str, Any]:
    return optimizer | {"state": {index: without_a_row(one) for index, one in optimizer["state"].items()}}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (truncated, "it is damaged"),
        (spoilt, "it is damaged"),
        (pickled, "holds more than tensors"),
        (changed(key=lambda _: "2" * 32), "it is of another training"),
        (changed(epochs=lambda _: 3), "it was stored after epoch 3 of 2"),
        (changed(epochs=lambda _: "many"), "TypeError"),
        (changed(parts=without_a_row), "Error(s) in loading state_dict"),
        (changed(optimizer=moments_without_a_row), "has the shape"),
        (changed(optimizer=lambda _: {}), "KeyError"),
        (changed(random=lambda random: random[1:]), "RuntimeError"),
    ],
)
def test_a_checkpoint_that_does_not_match_changes_nothing_and_is_reported(
    tmp_path: Path,
    quiet: Progress,
    log: Log,
    damage: Callable[[Path], None],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    first = training(tmp_path, quiet)
    go_on(first.state, 3)
    first.keep(1)
    (kept,) = (tmp_path / "kept").iterdir()
    damage(kept)
    second = training(tmp_path, quiet)
    assert second.restore() == 0
    (line,) = [line for line in log().splitlines() if "a checkpoint cannot be used: " in line]
    assert told in line
    assert "training starts from the beginning" in log()
    assert go_on(second.state, 5) == go_on(training(tmp_path / "none", quiet).state, 5)
    assert not (tmp_path / "harm").exists()


def test_a_restored_training_continues_like_the_stored_one(tmp_path: Path, quiet: Progress) -> None:
    first, second = training(tmp_path, quiet), training(tmp_path, quiet)
    go_on(first.state, 3)
    first.keep(1)
    assert second.restore() == 1
    assert go_on(second.state, 5) == go_on(first.state, 5)


@pytest.mark.parametrize(
    "other", [{"width": 4}, {"settings": {"batch_size": 32}}, {"settings": {"seed": 7}}, {"settings": {"epochs": 3}}]
)
def test_another_training_s_checkpoint_is_not_taken(
    tmp_path: Path, quiet: Progress, log: Log, other: dict[str, Any]
) -> None:
    training(tmp_path, quiet).keep(1)
    assert training(tmp_path, quiet, **other).restore() == 0
    assert "checkpoint" not in log()
    assert training(tmp_path, quiet).restore() == 1


@pytest.mark.slow
def test_each_round_of_pruning_is_a_training_of_its_own(trainer: Trainer, tmp_path: Path) -> None:
    context = {"checkpoints": CheckpointFolder(tmp_path / "kept")}
    settings = QUICK | {"epochs": 1, "ratioPercent": 59, "roundTo": 4, "iterations": 4}
    pruned = trainer.apply("PruneChannels", context=context, **settings)
    assert len(list((tmp_path / "kept").iterdir())) == 4  # of the last two rounds, which take nothing away, too
    assert weights(pruned) == weights(trainer.apply("PruneChannels", **settings))


def test_a_disk_without_room_costs_the_checkpoint_and_not_the_training(
    tmp_path: Path, quiet: Progress, log: Log
) -> None:
    first = training(tmp_path, quiet)
    first.keep(1)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.with_suffix(".partial").symlink_to("/dev/full")
    first.keep(2)
    assert "the checkpoint after epoch 2 was not stored: " in log()
    assert training(tmp_path, quiet).restore() == 1


@pytest.fixture
def task(site: Site, registry: RegistryProgram, tmp_path: Path) -> JobInput:
    folder = tmp_path / "claims" / "data"
    folder.mkdir(parents=True)
    for name, file in (("source.pt2", site.source), ("t.npz", site.training), ("e.npz", site.evaluation)):
        (folder / name).write_bytes(file.read_bytes())
    server = Registries(plain_http_hosts=(registry.host,)).repository(Reference(registry.host, "server"))
    layer = write_layer({"/server.py": b""}, tmp_path / "base-layer")
    image = push_image(server, {"os": "linux", "architecture": "amd64", "config": {}}, [layer])
    base = f"{server}@{push_index(server, {Platform('linux', 'amd64'): image}).digest}"
    return JobInput(
        model="patterns",
        request=CompressionRequest(
            source=Source("pvc://data/source.pt2", format=EXPORTED_PROGRAM),
            datasets={"training": Source("pvc://data/t.npz"), "evaluation": Source("pvc://data/e.npz")},
            recipes=(Recipe("default", (PATIENT,)),),
        ),
        target=target(registry, "disturbed", base),
        plain_http_hosts=(registry.host,),
    )


def options(folder: Path, attempt: str) -> list[str]:
    return [
        *("--termination-log", str(folder / f"{attempt}-termination-log")),
        *("--work-directory", str(folder / attempt)),
        *("--secrets-directory", str(folder / "secrets")),
        *("--claims-directory", str(folder / "claims")),
        *("--registry-token-file", str(folder / "token")),
        *("--progress-token-file", str(folder / "progress-token")),
    ]


@pytest.fixture
def ended_at(task: JobInput, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Returns a function that runs an attempt of the Job as a process, sends it the signal ``number`` when its log has
    ``line``, and returns exit code and log."""

    def run(attempt: str, line: str, number: signal.Signals) -> tuple[int, str]:
        environment = os.environ | {JOB_INPUT_VARIABLE: task.encode(), "PYTHONPATH": str(ROOT / "operator")}
        processor = min(os.sched_getaffinity(0))
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_compressor", *options(tmp_path, attempt)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {processor}),  # one thread, as in this process
        )
        assert process.stdout is not None
        said = list(_until(process.stdout, line))
        process.send_signal(number)
        said += process.stdout
        return process.wait(), "".join(said)

    return run


def _until(lines: Iterator[str], wanted: str) -> Iterator[str]:
    for line in lines:
        yield line
        if wanted in line:
            return


def test_a_job_that_is_killed_and_then_evicted_makes_the_artifact_of_one_that_was_not(
    task: JobInput,
    registry: RegistryProgram,
    tmp_path: Path,
    ended_at: Callable[..., tuple[int, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = ended_at("first", "pushed a checkpoint after epoch 1,", signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    code, said = ended_at("second", "epoch 4 of 8: mean loss", signal.SIGTERM)
    assert code == 128 + signal.SIGTERM, said
    assert "resumes from a checkpoint after epoch 1" in said
    pushed = [line for line in said.splitlines() if "pushed a checkpoint after epoch" in line]
    assert any(f"after epoch {epochs}," in pushed[-1] for epochs in (3, 4, 5, 6, 7)), said

    third = artifact(task, tmp_path, "third")
    said = capsys.readouterr().out
    assert "resumes from a checkpoint after epoch 1\n" not in said
    assert "resumes from a checkpoint after epoch" in said
    quiet = JobInput.decode(task.encode().replace("vision/disturbed", "vision/undisturbed"))
    assert artifact(quiet, tmp_path, "quiet").digest == third.digest
    assert "goes on" not in capsys.readouterr().out


def artifact(task: JobInput, folder: Path, attempt: str) -> report.ArtifactReport:
    """Returns the artifact of an attempt in this process, which publishes it."""
    assert job.main(options(folder, attempt), {JOB_INPUT_VARIABLE: task.encode()}) == 0
    outcome = report.decode((folder / f"{attempt}-termination-log").read_bytes())
    assert isinstance(outcome, Published)
    return outcome.artifacts[0]
