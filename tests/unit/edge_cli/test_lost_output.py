"""The commands whose output nobody takes: a pager that is left, a full disk, an output that is closed."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_cli import kubectl_plugin, main
from tests.support import tiny_models
from tests.support.registry import RegistryProgram
from tests.unit.edge_cli.commands import ROOT

DEADLINE_SECONDS = 300
EDGEMODEL, PLUGIN = "edge_cli.main", "edge_cli.kubectl_plugin"
VERBS = {
    (EDGEMODEL, "compress"): ("--source", "first.onnx", "--steps", "steps.json", "--output", "out"),
    (EDGEMODEL, "push"): ("first.onnx", "oci://REGISTRY/desk/first", "--plain-http"),
    (EDGEMODEL, "report"): ("artifact",),
    (EDGEMODEL, "serve"): ("first.onnx", "again.onnx", "--port", "0"),
    (PLUGIN, "status"): ("m",),
    (PLUGIN, "pause"): ("m",),
    (PLUGIN, "resume"): ("m",),
    (PLUGIN, "retry"): ("m",),
}
"""The arguments with which each verb succeeds in the folder of ``place``, and prints."""
STATUS = {"metadata": {"namespace": "vision", "name": "m"}, "status": {}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Returns a folder with two models, an artifact's report, and a kubectl that knows the EdgeModel m."""
    for name in ("first", "again"):
        tiny_models.mlp(tmp_path / f"{name}.onnx")
    (tmp_path / "steps.json").write_text("[]")
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "report.md").write_text("# first\n")
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\n[ $1 = patch ] || echo '{json.dumps(STATUS)}'\n")
    (tmp_path / "kubectl").chmod(0o755)
    return tmp_path


@contextlib.contextmanager
def nobody_reads() -> Iterator[int]:
    """Yields a pipe for a program's output whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def run(
    place: Path,
    module: str,
    *words: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    closed: str = "",
) -> subprocess.CompletedProcess[str]:
    """Runs the command as a process; ``closed`` is a redirection of the shell, such as ``>&-``."""
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-m", module, *words]
    environment = {
        "PATH": f"{place}:{os.environ['PATH']}",
        "HOME": str(place),
        "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}",
    }
    return subprocess.run(
        command,
        cwd=place,
        env=environment,
        stdout=stdout,
        stderr=stderr,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )


def test_the_table_has_every_verb() -> None:
    verbs = {(EDGEMODEL, verb.name) for verb in main.VERBS} | {(PLUGIN, verb.name) for verb in kubectl_plugin.VERBS}
    assert set(VERBS) == verbs


@pytest.mark.parametrize(
    ("module", "verb"),
    [
        pytest.param(module, verb, marks=[] if verb == "status" else pytest.mark.slow, id=verb)
        for module, verb in VERBS
        if verb != "push"
    ],
)
def test_a_reader_that_goes_away_ends_a_verb_without_a_word(place: Path, module: str, verb: str) -> None:
    with nobody_reads() as output:
        done = run(place, module, verb, *VERBS[module, verb], stdout=output)
    progress = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert (done.returncode, done.stderr.splitlines()) == (141, progress)


def test_a_reader_that_goes_away_during_a_push(place: Path, registry: RegistryProgram) -> None:
    words = [word.replace("REGISTRY", registry.host) for word in VERBS[EDGEMODEL, "push"]]
    with nobody_reads() as output:
        done = run(place, EDGEMODEL, "push", *words, stdout=output)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (EDGEMODEL, ("--help",)),
        (PLUGIN, ("--version",)),
        pytest.param(EDGEMODEL, ("compress", "--help"), marks=pytest.mark.slow),
        pytest.param(EDGEMODEL, ("serve", "--help"), marks=pytest.mark.slow),
        pytest.param(PLUGIN, ("status", "--help"), marks=pytest.mark.slow),
    ],
)
def test_a_reader_that_goes_away_ends_a_help_without_a_word(place: Path, module: str, words: tuple[str, ...]) -> None:
    with nobody_reads() as output:
        done = run(place, module, *words, stdout=output)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (EDGEMODEL, ("report", "gone")),
        pytest.param(EDGEMODEL, ("compress", *VERBS[EDGEMODEL, "compress"]), marks=pytest.mark.slow),
        pytest.param(EDGEMODEL, ("serve", "gone.onnx"), marks=pytest.mark.slow),
    ],
)
def test_a_reader_of_the_errors_that_goes_away(place: Path, module: str, words: tuple[str, ...]) -> None:
    with nobody_reads() as errors:
        done = run(place, module, *words, stderr=errors)
    assert (done.returncode, done.stdout) == (141, "")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (PLUGIN, ("status", "m")),
        pytest.param(EDGEMODEL, ("report", "artifact"), marks=pytest.mark.slow),
        pytest.param(EDGEMODEL, ("--help",), marks=pytest.mark.slow),
        pytest.param(EDGEMODEL, ("serve", *VERBS[EDGEMODEL, "serve"]), marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_told_once(place: Path, module: str, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(place, module, *words, stdout=full.fileno())
    assert (done.returncode, done.stderr) == (3, "edgemodel: no space is left on the disk\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_an_output_that_is_closed_from_the_beginning_is_not_written(place: Path, closed: str) -> None:
    done = run(place, PLUGIN, "status", "m", closed=closed)
    assert (done.returncode, done.stderr) == (0, "")
