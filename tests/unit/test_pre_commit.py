"""The hooks of .pre-commit-config.yaml are the parts of ``make check``, and run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS: list[dict[str, Any]] = [hook for repo in CONFIGURATION["repos"] for hook in repo["hooks"]]


def target(hook: dict[str, Any]) -> str:
    """Returns the make target that a hook runs."""
    command = shlex.split(hook["entry"])
    assert command[0] == "make"
    return command[-1]


def test_every_hook_is_local() -> None:
    assert {repo["repo"] for repo in CONFIGURATION["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}
    assert "http" not in (ROOT / ".pre-commit-config.yaml").read_text()


def test_together_they_are_make_check() -> None:
    found = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    parts = set(re.sub(r"--\S+|\$\(\w+\)", "", found[1]).split())
    assert [target(hook) for hook in HOOKS] == ["lint", "types", "imports", "unit-quick"]
    assert {target(hook) for hook in HOOKS} == parts


def test_the_tests_run_before_a_push_and_the_rest_before_a_commit() -> None:
    stages = {target(hook): hook.get("stages", CONFIGURATION["default_stages"]) for hook in HOOKS}
    assert stages.pop("unit-quick") == ["pre-push"]
    assert set(map(tuple, stages.values())) == {("pre-commit",)}
    assert {"pre-commit", "pre-push"} == set(CONFIGURATION["default_install_hook_types"])


def environment_as_it_is() -> list[str]:
    """Returns the words for make that have it use the environment of this process, and install nothing."""
    return [f"VENV={sys.prefix}", f"--old-file={sys.prefix}/ready"]


@pytest.mark.lab_programs  # make is one of them
@pytest.mark.parametrize("hook", HOOKS, ids=target)
def test_the_command_of_a_hook_exists(hook: dict[str, Any]) -> None:
    command = [*shlex.split(hook["entry"]), "--dry-run", *environment_as_it_is()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    programs = [
        word for line in done.stdout.splitlines() for word in line.split() if word.startswith(f"{sys.prefix}/bin/")
    ]
    assert programs
    assert all(Path(program).exists() for program in programs)


@pytest.mark.lab_programs
@pytest.mark.slow
@pytest.mark.parametrize("hook", [hook for hook in HOOKS if "stages" not in hook], ids=target)
def test_a_hook_before_a_commit_passes(hook: dict[str, Any]) -> None:
    command = [*shlex.split(hook["entry"]), *environment_as_it_is()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
