"""The reports of a Job's steps, which are validated because they come from a user's namespace."""

import json
from typing import Any

import pytest

from edgemodel.progress import MAX_BYTES, StepBegun

STEP = StepBegun("recover", "Distill", 2, 4)
TOLD = {"step": "recover", "type": "Distill", "number": 2, "of": 4}


def test_a_report_of_a_step_arrives_unchanged_and_reads_as_a_sentence() -> None:
    assert StepBegun.decode(STEP.encode()) == STEP
    assert str(STEP) == "step 2 of 4: recover (Distill)"
    of_one = StepBegun("recover", "Distill", 2, 4, "pi")
    assert StepBegun.decode(of_one.encode()) == of_one
    assert str(of_one) == "step 2 of 4 for variant pi: recover (Distill)"


def test_a_job_of_an_older_compressor_names_no_variant() -> None:
    assert StepBegun.decode(json.dumps(TOLD).encode()) == STEP


def test_the_longest_that_a_manifest_can_have_arrives() -> None:
    longest = StepBegun("a" * 63, "B" * 63, 16, 16, "c" * 63)
    assert len(longest.encode()) < MAX_BYTES
    assert StepBegun.decode(longest.encode()) == longest


@pytest.mark.parametrize(
    "change",
    [
        {"step": "a" * 64},
        {"step": "all is well\nReady"},
        {"step": ""},
        {"step": 7},
        {"type": "<b>"},
        {"number": 0},
        {"number": 5},
        {"number": "2"},
        {"number": True},
        {"of": 17},
        {"of": 4.0},
        {"variant": "a b"},
        {"variant": None},
    ],
    ids=str,
)
def test_what_no_manifest_can_have_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no step"):
        StepBegun.decode(json.dumps(TOLD | change).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"{}", b"\xff", b"[" * 900])
def test_unknown_steps_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are json's where it is no JSON
        StepBegun.decode(data)
