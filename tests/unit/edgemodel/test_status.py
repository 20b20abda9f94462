"""The status of an EdgeModel, from JSON and back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edgemodel.status import (
    CheckStatus,
    ClassPreflight,
    EdgeModelStatus,
    NodeCounts,
    Pause,
    PreflightStatus,
    RejectedRevision,
    RolloutStatus,
    StoredAnalysis,
    StoredBaseline,
    StoredCondition,
    parse_status,
    status_to_json,
)
from edgemodel.verdict import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = EdgeModelStatus(
    observed_generation=3,
    stable_revision="m-1",
    candidate_revision="m-2",
    rejected_revisions=(RejectedRevision("m-0", "RolledBack", NOW, "node camera-1: it crashed"),),
    preflight=PreflightStatus(
        (
            ClassPreflight("default/arm64", "default", "arm64", "camera-1", instruction_sets=("asimd",)),
            ClassPreflight("default/amd64", "default", "amd64", verdict=Verdict.INCONCLUSIVE, message="none is online"),
        ),
        revision="m-2",
    ),
    checks=(
        CheckStatus("maxSizeBytes", Verdict.PASS, "10", "20", 0, "10 bytes, limit 20 bytes"),
        CheckStatus("errors", Verdict.FAIL, "3", "1", 9, "3 %", "default", "m-2", "ErrorRateTooHigh", NOW),
    ),
    nodes=NodeCounts(selected=2, stable=1, candidate=1, summary="2/2", not_ready=()),
    rollout=RolloutStatus(
        wave=1,
        wave_name="all",
        waves=2,
        started_at=NOW,
        wave_started_at=NOW + timedelta(seconds=60),
        pauses=(Pause(NOW, NOW + timedelta(seconds=5)), Pause(NOW + timedelta(seconds=9))),
        analysis=StoredAnalysis(
            NOW, "abc", "0.05", (StoredBaseline("errors", "default", "failed", 9, "0.1", "200", "1.5"),)
        ),
    ),
    conditions=(StoredCondition("Ready", "False", "RollingOut", "wave all (2 of 2)", NOW, 3),),
)


@pytest.mark.parametrize("status", [WHOLE, EdgeModelStatus()], ids=["whole", "none yet"])
def test_a_status_survives_the_api_server(status: EdgeModelStatus) -> None:
    stored = {key: value for key, value in status_to_json(status).items() if value is not None}
    assert parse_status(json.loads(json.dumps(stored))) == status


def test_a_member_that_says_nothing_is_to_be_removed() -> None:
    written = status_to_json(EdgeModelStatus())
    assert {key for key, value in written.items() if value is None} == {
        "stableRevision",
        "candidateRevision",
        "preflight",
        "nodes",
        "rollout",
    }


def test_fields_of_another_operator_are_ignored() -> None:
    assert parse_status({"observedGeneration": 1, "invented": {"a": 1}}) == EdgeModelStatus(observed_generation=1)


OLD_BASELINE = {"check": "errors", "variant": "default", "measure": "failed", "requestCount": 9, "expected": "0.003"}


@pytest.mark.parametrize("old", [OLD_BASELINE, {**OLD_BASELINE, "upperLimit": "0.013", "bucketSeconds": "0.05"}])
def test_baselines_of_the_previous_version_are_dropped_and_the_rest_is_read(old: dict[str, str]) -> None:
    """The API server removes the fields that the schema no longer has when it reads the object."""
    stored = json.loads(json.dumps(status_to_json(WHOLE)))
    stored["rollout"]["analysis"]["baselines"].append(old)
    assert parse_status(stored) == WHOLE


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"rollout": {"analysis": []}}, r"status\.rollout\.analysis is \[\], want an object"),
        ({"rollout": {"analysis": {"baselines": 1}}}, r"status\.rollout\.analysis lacks alpha"),
        ({"rejectedRevisions": [{"name": "m-0"}]}, r"status\.rejectedRevisions\[0\] lacks reason, time"),
        ({"rollout": {"wave": "1"}}, r"status\.rollout\.wave is '1', want a whole number"),
        ({"rollout": {"startedAt": "yesterday"}}, r"status\.rollout\.startedAt is 'yesterday', want a time"),
        ({"rollout": {"startedAt": "2026-01-01T00:00:00"}}, r"status\.rollout\.startedAt is .*, want a time"),
        ({"checks": [{"name": "a", "verdict": "Maybe"}]}, "lacks limit, message, observed, sampleCount"),
        ({"conditions": "Ready"}, r"status\.conditions is 'Ready', want a list"),
    ],
)
def test_a_damaged_status_names_the_field(status: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_status(status)


def test_an_unknown_verdict_is_named() -> None:
    check = {"name": "a", "observed": "", "limit": "", "sampleCount": 0, "message": "", "verdict": "Maybe"}
    with pytest.raises(ValueError, match=r"status\.checks\[0\]\.verdict is 'Maybe', want 'Pass' or 'Fail' or"):
        parse_status({"checks": [check]})
