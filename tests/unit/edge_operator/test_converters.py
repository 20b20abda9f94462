"""The images that may convert a source, and the handling of a converter's model."""

from dataclasses import replace
from typing import Any

import pytest

from edge_operator.decide.artifact.allowed_images import refusal
from edge_operator.settings import from_environment
from edgemodel import reasons
from edgemodel.report import Failed
from edgemodel.spec import parse_spec
from tests.support.simulation import CONVERTER_DIGEST, DIGEST, SETTINGS, Simulation, model_spec

DIGEST_OF_IMAGE = "sha256:" + "a" * 64
NAME = "registry.example/vision/maker:v1"
IMAGE = f"{NAME}@{DIGEST_OF_IMAGE}"


def spec_with(image: str = IMAGE, **changes: Any) -> dict[str, Any]:
    converter = {"image": image, "args": ["--width", "16"], "writes": "ExportedProgram"}
    source = {"uri": f"oci://registry.example/weights@{DIGEST}", "format": "Safetensors", "converter": converter}
    return model_spec(source=source, **changes)


def simulation(*allowed: str) -> Simulation:
    made = Simulation.with_nodes(2, spec=spec_with())
    made.settings = replace(SETTINGS, allowed_converter_images=allowed)
    return made


@pytest.mark.parametrize(
    ("prefix", "allowed"),
    [
        ("registry.example/", True),
        ("registry.example/vision/", True),
        ("registry.example/vision", True),
        ("registry.example/vision/maker", True),
        ("registry.example/vision/maker:", True),
        (NAME, True),
        (f"{NAME}@", True),
        (IMAGE, True),
        ("registry.example/vis", False),
        ("registry.example/vision/mak", False),
        ("registry.example/vision/maker:v", False),
        (f"{NAME}@sha256:aaa", False),
        ("registry.example/other/", False),
        ("registry.example", False),
        ("registry.example:5000/", False),
        ("example/vision/", False),
        ("", False),
    ],
)
def test_a_prefix_ends_where_a_part_of_the_name_does(prefix: str, allowed: bool) -> None:
    assert (refusal(simulation(prefix).observe()) is None) == allowed


def test_a_host_without_a_path_does_not_let_in_its_other_ports() -> None:
    spec = parse_spec(spec_with(f"registry.example:5000/maker@{DIGEST_OF_IMAGE}"))
    assert refusal(replace(simulation("registry.example").observe(), spec=spec)) is not None


def test_without_a_setting_no_converter_runs_and_the_condition_says_what_to_set() -> None:
    made = simulation()
    made.run(5)
    assert made.jobs_started == []
    stalled = made.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.CONVERTER_NOT_ALLOWED
    assert stalled["message"] == (
        f"spec.source.converter.image {IMAGE} may not run here: whoever installed the chart can add a prefix of it to "
        "the value operator.allowedConverterImages, which is empty"
    )


def test_what_the_chart_allows_is_what_decisions_see() -> None:
    environment = {
        "EDGEMODEL_OPERATOR_NAMESPACE": "edgemodel-system",
        "EDGEMODEL_SERVER_IMAGE": "server",
        "EDGEMODEL_COMPRESSOR_IMAGE": "compressor",
        "EDGEMODEL_TRAINER_IMAGE": "trainer",
        "EDGEMODEL_REGISTRY_PUSH": "registry:5000",
        "EDGEMODEL_REGISTRY_PULL": "localhost:30500",
        "EDGEMODEL_PROMETHEUS_URL": "http://prometheus:9090",
    }
    assert from_environment(environment).decisions.allowed_converter_images == ()
    given = {**environment, "EDGEMODEL_ALLOWED_CONVERTER_IMAGES": "registry.example/vision/,registry.example/maker"}
    allowed = from_environment(given).decisions.allowed_converter_images
    assert allowed == ("registry.example/vision/", "registry.example/maker")


def test_the_allowed_values_are_reported() -> None:
    made = simulation("registry.example/other/", "registry.example/third/")
    made.run(5)
    stalled = made.condition("Stalled")
    assert stalled is not None
    assert stalled["message"].endswith("which has registry.example/other/, registry.example/third/")


def test_a_converter_that_is_allowed_later_runs_without_a_change_of_the_spec() -> None:
    made = simulation()
    made.run(5)
    made.settings = replace(SETTINGS, allowed_converter_images=("registry.example/vision/",))
    made.run(5)
    assert len(made.jobs_started) == 1
    assert made.ready_reason() == reasons.COMPRESSING


def test_a_converter_that_is_no_longer_allowed_is_not_tried_again() -> None:
    made = simulation("registry.example/vision/")
    made.job_outcome = Failed(reasons.SOURCE_UNREACHABLE, "no answer", transient=True)
    made.run(25)
    made.settings = SETTINGS
    made.run(60)
    assert len(made.jobs_started) == 1
    assert made.ready_reason() == reasons.CONVERTER_NOT_ALLOWED


def test_a_serving_model_serves_on_when_its_converter_is_no_longer_allowed() -> None:
    made = simulation("registry.example/vision/")
    made.run(600)
    made.settings = SETTINGS
    made.run(60)
    assert made.ready_reason() == reasons.SERVING


def test_a_revision_records_its_converter_with_input_and_output() -> None:
    made = simulation("registry.example/vision/")
    made.run(30)
    (revision,) = made.revisions.values()
    assert revision.spec.to_json()["source"] == {
        "uri": f"oci://registry.example/weights@{DIGEST}",
        "digest": DIGEST,
        "format": "Safetensors",
        "converter": {
            "image": IMAGE,
            "args": ["--width", "16"],
            "writes": "ExportedProgram",
            "digest": CONVERTER_DIGEST,
        },
    }


def test_artifacts_that_serve_again_keep_what_their_converter_wrote() -> None:
    made = simulation("registry.example/vision/")
    made.run(600)
    made.change(serving={"port": 9090})
    made.run(30)
    first, second = made.revisions.values()
    assert second.spec.source == first.spec.source
    assert len(made.jobs_started) == 1


def test_a_jobs_work_before_its_first_step_is_in_the_condition() -> None:
    made = simulation("registry.example/vision/")
    made.run(5)
    ((name, job),) = made.jobs.items()
    made.jobs[name] = replace(job, doing=f"running the converter {IMAGE}")
    made.run(1)
    found = made.condition("Reconciling")
    assert found is not None
    assert found["message"].endswith(f"runs (attempt 1); running the converter {IMAGE}")
