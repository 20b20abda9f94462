"""The request from spec to Job, pipeline and command line, and its fingerprint."""

import json
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from edge_compressor.steps import STEPS
from edgemodel.artifact import TransformSpec
from edgemodel.budget import Budget
from edgemodel.compression_request import (
    EXPORTED_PROGRAM,
    OPTIONAL_READS,
    SAFETENSORS,
    CompressionRequest,
    EvaluationSettings,
    Recipe,
    Source,
    parse_request,
)
from edgemodel.converter import Converter
from edgemodel.spec import parse_spec
from tests.support.simulation import model_spec

AUTO: dict[str, Any] = {"name": "auto", "type": "Auto"}
INT8: dict[str, Any] = {"name": "int8", "type": "QuantizeDynamic", "quantizeDynamic": {"perChannel": True}}
RICH = CompressionRequest(
    source=Source(
        "oci://registry.example/m@sha256:" + "a" * 64,
        format=SAFETENSORS,
        secret="pull",
        converter=Converter("registry.example/maker@sha256:" + "b" * 64, ("--width", "16"), resources={"limits": {}}),
        stateful_inputs={"h": "h_next"},
        transforms=(TransformSpec("Resize", {"width": 32}),),
    ),
    recipes=(Recipe("pi", (AUTO,)), Recipe("default", (AUTO, INT8))),
    datasets={"evaluation": Source("https://data.example/e.npz", "sha256:" + "c" * 64)},
    teacher=Source("pvc://models/t.pt2", format=EXPORTED_PROGRAM),
    budget=Budget(Decimal("0.5"), max_size_bytes=1000, on_inconclusive="Proceed"),
    evaluation=EvaluationSettings("Regression", {"tolerance": "0.5"}),
    golden_items=16,
    tuning={"intraOpThreads": 2},
)


def request_with(*steps: dict[str, Any], **compression: Any) -> CompressionRequest:
    return parse_request(model_spec(compression={"steps": list(steps), **compression}))


def test_what_is_encoded_is_decoded_with_every_field() -> None:
    default = CompressionRequest(Source(""))
    assert [one.name for one in fields(RICH) if getattr(RICH, one.name) == getattr(default, one.name)] == []
    again = CompressionRequest.decode(RICH.encode())
    assert again == RICH
    assert again.fingerprint == RICH.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {"uri": 3}}, r"request.source.uri is 3, want a text"),
        ({"source": {}}, r"request.source lacks uri"),
        ({"budget": {"maxSize": 3}}, r"request.budget has no field maxSize"),
        ({"budget": {"max_size_bytes": True}}, r"request.budget.max_size_bytes is True, want a whole number"),
        ({"budget": {"max_accuracy_drop_percent": "much"}}, r"max_accuracy_drop_percent is 'much', want a decimal"),
        ({"budget": {"on_inconclusive": "Wait"}}, r"on_inconclusive is 'Wait', want 'Stall' or 'Proceed'"),
        ({"recipes": [{"variant": "a", "steps": {}}]}, r"request.recipes\[0\].steps is {}, want a list"),
        ({"golden": 3}, r"request has no field golden"),
    ],
)
def test_a_field_that_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    text = json.dumps(json.loads(RICH.encode()) | change)
    with pytest.raises(ValueError, match=message):
        CompressionRequest.decode(text)


@pytest.mark.parametrize(
    ("changed"),
    [
        {"budget": {"maxAccuracyDropPercent": "0.1"}},
        {"budget": {"maxAccuracyDropPercent": "5", "maxSizeBytes": 1000}},
        {"evaluation": {"task": "Embedding"}},
        {"evaluation": {"task": "Regression", "tolerance": "0.5"}},
    ],
    ids=["accuracy", "size", "task", "tolerance"],
)
def test_a_change_of_what_auto_reads_makes_another_artifact_and_another_revision(changed: dict[str, Any]) -> None:
    before = {"budget": {"maxAccuracyDropPercent": "5"}}
    auto = [parse_spec(model_spec(compression={"steps": [AUTO], **one})) for one in (before, before | changed)]
    assert auto[0].request.fingerprint != auto[1].request.fingerprint
    assert auto[0].revision_hash != auto[1].revision_hash
    fixed = [parse_spec(model_spec(compression={"steps": [INT8], **one})) for one in (before, before | changed)]
    assert fixed[0].request.fingerprint == fixed[1].request.fingerprint
    assert fixed[0].revision_hash == fixed[1].revision_hash
    assert fixed[0].attempt_hash != fixed[1].attempt_hash


def test_a_variant_that_reads_the_budget_is_enough() -> None:
    def spec(limit: str) -> Any:
        variants = [{"name": "pi", "nodeSelector": {"board": "pi"}, "compression": {"steps": [AUTO]}}]
        return model_spec(compression={"budget": {"maxAccuracyDropPercent": limit}}, variants=variants)

    assert parse_request(spec("5")).fingerprint != parse_request(spec("0.1")).fingerprint


def test_one_limit_written_in_two_ways_is_one_artifact() -> None:
    first, second = (request_with(AUTO, budget={"maxAccuracyDropPercent": text}) for text in ("1.0", "1"))
    assert first.fingerprint == second.fingerprint


def test_defaults_that_are_written_out_are_the_same_artifact() -> None:
    """The API server fills them in, and a local file has none."""
    written = {"budget": {"onInconclusive": {"action": "Stall"}}, "evaluation": {"task": "Auto"}}
    assert request_with(AUTO, **written).fingerprint == request_with(AUTO).fingerprint


def test_a_step_finds_what_it_declares_and_nothing_else() -> None:
    assert RICH.only(("budget",)) == CompressionRequest(RICH.source, budget=RICH.budget)
    assert RICH.only(()) == CompressionRequest(RICH.source)


def test_every_step_declares_fields_that_there_are() -> None:
    assert {name for step in STEPS.values() for name in step.reads} <= OPTIONAL_READS


def test_a_new_secret_is_another_try_and_no_other_artifact() -> None:
    renewed = replace(RICH, source=replace(RICH.source, secret="other"))
    assert renewed.fingerprint == RICH.fingerprint
