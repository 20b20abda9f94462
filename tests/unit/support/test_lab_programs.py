"""The tests of ``make check`` start no program of the lab; tests that need one fail without it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import lab_programs

UNIT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("command", ["/usr/bin/helm", "/usr/bin/docker-registry", "/usr/bin/gcc"])
def test_a_test_without_the_marker_cannot_start_a_program_of_the_lab(command: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"starts .*{command} and is not marked with lab_programs"):
        subprocess.run([command, "version"], check=False)


@pytest.mark.lab_programs
def test_a_test_with_the_marker_can() -> None:
    assert subprocess.run(["as", "--version"], capture_output=True, check=True).stdout


def test_a_fake_by_a_test_is_not_a_program_of_the_lab(tmp_path: Path) -> None:
    fake = tmp_path / "kubectl"
    fake.write_text("#!/bin/sh\necho fake\n")
    fake.chmod(0o755)
    assert subprocess.run([fake], capture_output=True, check=True).stdout == b"fake\n"
    found = subprocess.run(["kubectl"], env={"PATH": str(tmp_path)}, capture_output=True, check=True)
    assert found.stdout == b"fake\n"


def test_a_test_whose_program_is_missing_fails_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match=r"prometheus is missing; .* make lab-up, or apt-get install prometheus"):
        lab_programs.find("prometheus", package="prometheus")


def test_no_unit_test_is_ever_skipped() -> None:
    skipping = re.compile(r"pytest\.(skip|importorskip|xfail)\(|mark\.(skip|skipif|xfail)\b")
    found = [path for path in UNIT.rglob("*.py") if path != Path(__file__) and skipping.search(path.read_text())]
    assert found == []
