"""The names derived from a spec, which must not change between versions of the operator."""

from typing import Any

import pytest

from edgemodel.converter import Converter
from edgemodel.spec import EdgeModelSpec, parse_spec
from tests.support.simulation import model_spec


def test_an_unchanged_spec_keeps_its_hashes_so_that_an_upgrade_rolls_out_nothing() -> None:
    """A failure means that every model of every user would be rolled out again: correct the hash, not the test."""
    plain = parse_spec(model_spec())
    assert (plain.request.fingerprint, plain.revision_hash) == ("07c0c734b7101f4c", "3f3e9c58f8")
    step = {"name": "int8", "type": "QuantizeDynamic", "quantizeDynamic": {"perChannel": True, "reduceRange": True}}
    rich = parse_spec(
        model_spec(
            compression={"steps": [step], "budget": {"maxSizeBytes": 1000}},
            datasets={"evaluation": {"uri": "https://data.example/set.npz"}},
            variants=[{"name": "pi", "nodeSelector": {"board": "pi"}, "compression": {"steps": []}}],
            serving={"port": 9000, "strategy": "Recreate", "hostPort": 9000},
        )
    )
    assert (rich.request.fingerprint, rich.revision_hash) == ("6280e384219e7aaa", "e1d902b62b")


def test_tolerations_and_the_retry_token_make_a_revision_and_no_artifact() -> None:
    plain = parse_spec(model_spec())
    tolerant = parse_spec(
        model_spec(placement={"nodeSelector": {"edge": "camera"}, "tolerations": [{"operator": "Exists"}]})
    )
    assert tolerant.request.fingerprint == plain.request.fingerprint
    assert tolerant.revision_hash != plain.revision_hash


def test_other_pull_secrets_make_a_revision_and_another_try_and_no_artifact() -> None:
    """Pods cannot get other Secrets, so that those that cannot pull are replaced by those of a new revision."""

    def parsed(*names: str) -> EdgeModelSpec:
        return parse_spec(model_spec(imagePullSecrets=[{"name": name} for name in names]))

    plain, mirror = parsed(), parsed("mirror")
    assert mirror.request.fingerprint == plain.request.fingerprint
    assert mirror.revision_hash != plain.revision_hash
    assert mirror.attempt_hash != plain.attempt_hash
    assert parsed("mirror", "own").revision_hash == parsed("own", "mirror").revision_hash
    assert (plain.revision_hash, plain.attempt_hash) == (
        parse_spec(model_spec()).revision_hash,
        parse_spec(model_spec()).attempt_hash,
    )


def test_how_the_server_is_tuned_makes_a_revision_and_no_artifact() -> None:
    plain = parse_spec(model_spec())
    tuned = parse_spec(model_spec(serving={"tuning": {"maxBatchItems": 8}}))
    assert tuned.request.fingerprint == plain.request.fingerprint
    assert tuned.revision_hash != plain.revision_hash
    assert parse_spec(model_spec(serving={"tuning": {}})).revision_hash == plain.revision_hash


def test_another_warm_up_makes_a_revision_and_an_unnamed_one_none() -> None:
    plain, longer = (parse_spec(model_spec(serving=serving)) for serving in ({}, {"warmUpSeconds": 300}))
    assert longer.request.fingerprint == plain.request.fingerprint
    assert longer.revision_hash != plain.revision_hash
    assert plain.revision_hash == parse_spec(model_spec()).revision_hash


@pytest.mark.parametrize(
    "serving",
    [
        {"generate": {}},
        {"generate": {"contextTokens": 4096}},
        {"apiKeySecretRef": {"name": "chat", "key": "token"}},
        {"weights": "Loaded"},
    ],
    ids=["defaults", "context", "key", "weights"],
)
def test_other_limits_of_a_generator_make_a_revision_and_no_artifact(serving: dict[str, Any]) -> None:
    plain, other = parse_spec(model_spec()), parse_spec(model_spec(serving=serving))
    assert other.request.fingerprint == plain.request.fingerprint
    assert other.attempt_hash == plain.attempt_hash
    assert other.revision_hash != plain.revision_hash


IMAGE = "registry.example/converters/maker@sha256:" + "a" * 64


def with_converter(**changes: Any) -> EdgeModelSpec:
    converter = {"image": IMAGE, "args": ["--width", "16"], "writes": "ExportedProgram", **changes}
    source = {"uri": "https://files.example/m.safetensors", "format": "Safetensors", "converter": converter}
    return parse_spec(model_spec(source=source))


@pytest.mark.parametrize(
    "changes",
    [{"image": IMAGE.replace("a", "b")}, {"args": ["--width", "32"]}, {"args": []}, {"writes": "ONNX"}],
    ids=["image", "args", "no-args", "writes"],
)
def test_another_converter_makes_another_artifact(changes: dict[str, Any]) -> None:
    first, other = with_converter(), with_converter(**changes)
    assert first.request.fingerprint != other.request.fingerprint
    assert first.revision_hash != other.revision_hash


def test_more_memory_for_a_converter_is_another_try_and_no_other_artifact() -> None:
    first, other = with_converter(), with_converter(resources={"limits": {"memory": "8Gi"}})
    assert first.request.fingerprint == other.request.fingerprint
    assert first.revision_hash == other.revision_hash
    assert first.attempt_hash != other.attempt_hash


def test_a_converter_writes_an_exported_program_by_default() -> None:
    source = {"uri": "https://files.example/m.safetensors", "format": "Safetensors", "converter": {"image": IMAGE}}
    assert parse_spec(model_spec(source=source)).request.source.converter == Converter(IMAGE)


def test_a_toleration_without_its_operator_makes_the_revision_of_its_default() -> None:
    """The API server, which fills in nothing within a list, stores it as it was applied."""

    def revision(**toleration: str) -> str:
        spec = model_spec(placement={"nodeSelector": {"edge": "camera"}, "tolerations": [toleration]})
        return parse_spec(spec).revision_hash

    assert revision(key="a", value="b") == revision(key="a", operator="Equal", value="b")
