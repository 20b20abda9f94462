"""The named layers of server images, from the chart's setting to the request of a compression Job."""

from dataclasses import replace

import pytest

from edge_operator import objects
from edge_operator.settings import from_environment
from edgemodel.errors import Stalled
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput
from tests.support.simulation import SETTINGS, Simulation

LAYER = "registry.example/layers/runtime-x@sha256:" + "1" * 64
ENVIRONMENT = {
    "EDGEMODEL_OPERATOR_NAMESPACE": "edgemodel-system",
    "EDGEMODEL_SERVER_IMAGE": "server",
    "EDGEMODEL_COMPRESSOR_IMAGE": "compressor",
    "EDGEMODEL_TRAINER_IMAGE": "trainer",
    "EDGEMODEL_REGISTRY_PUSH": "registry:5000",
    "EDGEMODEL_REGISTRY_PULL": "localhost:30500",
    "EDGEMODEL_PROMETHEUS_URL": "http://prometheus:9090",
}


def test_the_setting_names_layers_by_digest() -> None:
    assert from_environment(ENVIRONMENT).decisions.server_layers == {}
    given = {**ENVIRONMENT, "EDGEMODEL_SERVER_LAYERS": f'{{"runtime-x": "{LAYER}"}}'}
    assert from_environment(given).decisions.server_layers == {"runtime-x": LAYER}


def test_a_setting_that_is_not_an_object_stops_the_operator_and_names_the_variable() -> None:
    with pytest.raises(Stalled, match="EDGEMODEL_SERVER_LAYERS is not a JSON object"):
        from_environment({**ENVIRONMENT, "EDGEMODEL_SERVER_LAYERS": "runtime-x"})


def test_a_job_gets_the_base_and_the_layers() -> None:
    simulation = Simulation.with_nodes(1)
    simulation.settings = replace(SETTINGS, server_layers={"runtime-x": LAYER})
    observation = simulation.observe()
    (container,) = objects.job(observation, "m-1", 1, observation.spec)["spec"]["template"]["spec"]["containers"]
    target = JobInput.decode(
        next(item["value"] for item in container["env"] if item["name"] == JOB_INPUT_VARIABLE)
    ).target
    assert (target.base, target.server_layers) == (SETTINGS.server_image, {"runtime-x": LAYER})
