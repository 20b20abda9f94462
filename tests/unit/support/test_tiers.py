"""The tiers: every unit test runs in ``make test``, and the quick ones in ``make check``."""

import re
from pathlib import Path

import pytest

from tests.support.tiers import QUICK_VARIABLE, examples

MAKEFILE = (Path(__file__).resolve().parents[3] / "Makefile").read_text()


def recipe(target: str) -> str:
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found, target
    return found[1]


def test_make_test_runs_every_unit_test_once() -> None:
    assert re.findall(r"\bunit[a-z-]*", recipe("test")) == ["unit-all"]
    assert recipe("unit-all").rstrip().endswith("tests/unit")
    assert " -m " not in recipe("unit-all").partition("-m pytest")[2]
    assert QUICK_VARIABLE not in recipe("unit-all")


def test_make_check_brings_no_lab_up() -> None:
    for target in ("check", "lint", "types", "imports", "unit", "unit-quick"):
        head = re.search(rf"^{target}:(.*?)(##.*)?$", MAKEFILE, re.MULTILINE)
        assert head is not None
        assert "lab-up" not in head[1]
    assert "not lab_programs" in recipe("unit-quick")


def test_generated_examples_are_fewer_in_the_quick_tier_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(QUICK_VARIABLE, raising=False)
    assert examples(40) == 40
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    assert (examples(80), examples(10)) == (5, 2)
