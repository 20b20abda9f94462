"""The compression Job of a spec."""

from dataclasses import replace
from typing import Any

import pytest

from edge_operator import objects
from edge_operator.objects.common import RESTRICTED_CONTAINER
from edgemodel.converter import Converter
from edgemodel.job_images import COMPRESSOR, TRAINER
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput
from edgemodel.spec import parse_spec
from tests.support.simulation import SETTINGS, Simulation, model_spec


def pod_of(spec: dict[str, Any]) -> Any:
    """Returns the pod of the Job for this spec."""
    observation = replace(Simulation.with_nodes(1).observe(), spec=parse_spec(spec))
    return objects.job(observation, "m-1", 1, observation.spec)["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    "changes",
    [
        {"source": {"uri": "https://files.example/m.pt2", "format": "ExportedProgram"}},
        {"compression": {"teacher": {"uri": "https://files.example/t.pt2", "format": "ExportedProgram"}}},
    ],
    ids=["source", "teacher"],
)
def test_an_exported_program_is_read_by_the_trainer_which_takes_more(changes: dict[str, Any]) -> None:
    made = pod_of(model_spec(**changes))
    assert made["containers"][0]["image"] == SETTINGS.job_images["trainer"]
    assert made["containers"][0]["resources"] == TRAINER.resources
    assert made["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}


def test_an_onnx_model_is_compressed_without_torch_on_any_node() -> None:
    teacher = {"teacher": {"uri": "https://files.example/t.onnx"}}
    made = pod_of(model_spec(compression=teacher))
    assert made["containers"][0]["image"] == SETTINGS.job_images["compressor"]
    assert made["containers"][0]["resources"] == COMPRESSOR.resources
    assert made["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_a_training_job_gets_the_users_resources() -> None:
    resources = {"limits": {"memory": "16Gi"}}
    source = {"uri": "https://files.example/m.pt2", "format": "ExportedProgram"}
    made = pod_of(model_spec(source=source, compression={"resources": resources}))
    assert made["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "16Gi"},
        "limits": {"cpu": "8", "memory": "16Gi"},
    }


TOKEN_PLACES = {"registry": "/var/run/secrets/edgemodel/registry", "progress": "/var/run/secrets/edgemodel/progress"}


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"progress_url": "http://operator:8082/progress"}, {"registry", "progress"}),
        ({}, {"registry"}),
        ({"registry_embedded": False, "progress_url": "http://operator:8082/progress"}, {"progress"}),
        ({"registry_embedded": False}, set()),
    ],
)
def test_the_token_is_mounted_where_it_is_needed_and_nowhere_else(changes: dict[str, Any], places: set[str]) -> None:
    """A registry of the user's own must not see it."""
    observation = Simulation.with_nodes(1).observe()
    observation = replace(observation, settings=replace(SETTINGS, **changes))
    pod = objects.job(observation, "m-1", 1, observation.spec)["spec"]["template"]["spec"]
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "token"}
    assert mounts == {TOKEN_PLACES[place] for place in places}
    assert len([volume for volume in pod["volumes"] if volume["name"] == "token"]) == bool(places)


IMAGE = "registry.example/converters/maker@sha256:" + "a" * 64
SECRET = {"secretRef": {"name": "files"}}
WITH_CONVERTER = model_spec(
    source={
        "uri": "pvc://models/m.safetensors",
        "format": "Safetensors",
        "converter": {"image": IMAGE, "args": ["--width", "16"]},
    },
    datasets={"evaluation": {"uri": "https://files.example/e.npz", **SECRET}},
)


def converter_pod(**changes: Any) -> tuple[Any, Any, Any, Any]:
    """Returns the pod, and its containers fetch, converter and compress, with everything that a Job can be given."""
    observation = Simulation.with_nodes(1).observe()
    settings = replace(SETTINGS, progress_url="http://operator:8082/progress")
    observation = replace(observation, spec=parse_spec({**WITH_CONVERTER, **changes}), settings=settings)
    pod = objects.job(observation, "m-1", 1, observation.spec)["spec"]["template"]["spec"]
    fetch, converter = pod["initContainers"]
    (compress,) = pod["containers"]
    return pod, fetch, converter, compress


def mounts(container: Any) -> dict[str, str]:
    """Returns the volume of each path, and whether it is writable."""
    return {
        mount["mountPath"]: f"{mount['name']} {'read' if mount.get('readOnly') else 'write'}"
        for mount in container["volumeMounts"]
    }


def variables(container: Any) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


def test_a_converter_sees_the_weights_and_its_own_folders_and_nothing_else_of_the_pod() -> None:
    pod, _, converter, _ = converter_pod()
    assert mounts(converter) == {
        "/exchange/in": "given read",
        "/exchange/out": "made write",
        "/tmp": "converter-tmp write",
    }
    kinds = {volume["name"]: [key for key in volume if key != "name"] for volume in pod["volumes"]}
    assert {kinds[name][0] for name in ("given", "made", "converter-tmp")} == {"emptyDir"}
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)
    assert pod["automountServiceAccountToken"] is False


def test_a_converter_runs_restricted_and_gets_only_the_paths_of_its_files() -> None:
    pod, _, converter, _ = converter_pod()
    assert (converter["name"], converter["image"], converter["args"]) == ("converter", IMAGE, ["--width", "16"])
    assert "command" not in converter
    assert converter["securityContext"] == RESTRICTED_CONTAINER
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert converter["resources"] == TRAINER.resources
    assert converter["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert variables(converter) == {
        "EDGEMODEL_WEIGHTS": "/exchange/in/model.safetensors",
        "EDGEMODEL_MODEL": "/exchange/out/model.pt2",
        "TMPDIR": "/tmp",
        "HOME": "/tmp",
    }


def test_a_converter_gets_the_training_set_if_there_is_one_and_the_path_to_write() -> None:
    source = {**WITH_CONVERTER["source"], "converter": {"image": IMAGE, "writes": "ONNX"}}
    training = {"training": {"uri": "https://files.example/t.npz"}}
    _, _, converter, _ = converter_pod(source=source, datasets=training)
    told = variables(converter)
    assert told["EDGEMODEL_TRAINING"] == "/exchange/in/training.npz"
    assert told["EDGEMODEL_MODEL"] == "/exchange/out/model.onnx"


def test_our_containers_around_a_converter_have_the_secrets_and_never_share_a_writable_folder_with_its_input() -> None:
    _, fetch, _, compress = converter_pod()
    assert (fetch["image"], fetch["args"]) == (SETTINGS.job_images["trainer"], ["--fetch-only"])
    assert "args" not in compress
    ours = {
        "/work": "work write",
        "/var/run/secrets/edgemodel/registry": "token read",
        "/var/run/secrets/edgemodel/progress": "token read",
        "/var/run/secrets/edgemodel/evaluation": "secret-evaluation read",
        "/claims/models": "claim-models read",
    }
    assert mounts(fetch) == {**ours, "/exchange/in": "given write"}
    assert mounts(compress) == {**ours, "/exchange/in": "given read", "/exchange/out": "made read"}


def test_the_job_input_says_which_converter_made_the_source() -> None:
    _, fetch, _, compress = converter_pod()
    assert variables(fetch) == variables(compress)
    source = JobInput.decode(variables(compress)[JOB_INPUT_VARIABLE]).request.source
    assert source.converter == Converter(IMAGE, ("--width", "16"), "ExportedProgram")
    assert (source.uri, source.format) == ("pvc://models/m.safetensors", "Safetensors")


def test_a_converter_gets_the_users_resources() -> None:
    resources = {"limits": {"memory": "16Gi"}}
    source = {**WITH_CONVERTER["source"], "converter": {"image": IMAGE, "resources": resources}}
    _, fetch, converter, compress = converter_pod(source=source)
    assert converter["resources"]["limits"] == {"cpu": "8", "memory": "16Gi"}
    assert fetch["resources"] == compress["resources"] == TRAINER.resources


def test_a_source_that_is_a_model_already_has_no_containers_before() -> None:
    assert "initContainers" not in pod_of(model_spec())
