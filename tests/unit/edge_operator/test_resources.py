"""Every container that the operator creates fits a namespace with quotas, and Pod Security ``restricted``."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_operator import objects
from edge_operator.decide.actions import StartPreflight
from edge_operator.decide.resources import DEFAULTS, amount, with_defaults
from edge_operator.settings import from_environment
from edgemodel.errors import Stalled
from edgemodel.names import puller_of
from tests.support.simulation import SETTINGS, Simulation, model_spec
from tests.unit.chart.rendering import of_kind, render

ALLOWING = replace(SETTINGS, allowed_converter_images=("registry.example/",))
CONVERTER = {
    "source": {
        "uri": "oci://registry.example/models/w@sha256:" + "a" * 64,
        "format": "Safetensors",
        "converter": {"image": "registry.example/maker@sha256:" + "b" * 64},
    }
}


def pods(changes: dict[str, Any], **settings: Any) -> Iterator[Any]:
    """Yields the specs of all kinds of pods that the operator creates for a spec with ``changes``."""
    world = Simulation.with_nodes(1, spec=model_spec(**changes), settings=replace(ALLOWING, **settings))
    world.run(60)
    observation, (revision,) = world.observe(), world.revisions.values()
    start = StartPreflight("m-p", 1, revision, "default", "camera-1", timedelta(seconds=60))
    made = [
        objects.job(observation, "m-1", 1, observation.spec),
        objects.preflight_job(observation, start),
        objects.daemonset(observation, revision, "default"),
        objects.daemonset(observation, revision, puller_of("default")),
    ]
    yield from (item["spec"]["template"]["spec"] for item in made)


def containers(pod: Any) -> list[Any]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


SPECS: list[dict[str, Any]] = [
    {},
    CONVERTER,
    {"serving": {"resources": {"limits": {"memory": "64Mi"}}}, "compression": {"resources": {"requests": {"cpu": 6}}}},
    {"serving": {"strategy": "Recreate"}, "preflight": {"nodeSelector": {"edge": "camera"}}},
    {"source": {"uri": "https://files.example/m.pt2", "format": "ExportedProgram"}},
]


@pytest.mark.parametrize("changes", SPECS)
def test_every_container_has_what_a_quota_of_cpu_and_memory_demands(changes: dict[str, Any]) -> None:
    for container in (each for pod in pods(changes) for each in containers(pod)):
        resources = container["resources"]
        for name in ("cpu", "memory"):
            request, limit = resources["requests"][name], resources["limits"][name]
            assert 0 < amount(request) <= amount(limit), container["name"]


@pytest.mark.parametrize("changes", SPECS)
def test_every_pod_is_what_pod_security_restricted_admits(changes: dict[str, Any]) -> None:
    for pod in pods(changes):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {key for volume in pod.get("volumes", ()) for key in volume} <= {
            "name",
            "emptyDir",
            "projected",
            "secret",
        }
        for container in containers(pod):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", ()))


def test_the_chart_sets_defaults_for_each_kind_of_container_and_the_spec_overrides_them() -> None:
    ours = {kind: {"limits": {"cpu": "1", "memory": "1Gi"}} for kind in DEFAULTS}
    compress, preflight, server, puller = (containers(pod)[-1] for pod in pods({}, default_resources=ours))
    one = {"cpu": "1", "memory": "1Gi"}
    assert [each["resources"]["limits"] for each in (compress, preflight, server, puller)] == [one] * 4
    spec = {"serving": {"resources": {"limits": {"memory": "2Gi"}}}}
    _, _, server, _ = (containers(pod)[-1] for pod in pods(spec, default_resources=ours))
    assert server["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}


def test_the_pull_secrets_of_the_chart_reach_every_pod() -> None:
    for pod in pods(CONVERTER, image_pull_secrets=("regcred",)):
        assert {"name": "regcred"} in pod["imagePullSecrets"]


def test_the_pull_secrets_of_the_spec_add_to_those_of_the_chart_in_every_pod() -> None:
    changes = {**CONVERTER, "imagePullSecrets": [{"name": "own"}, {"name": "regcred"}]}
    for pod in pods(changes, image_pull_secrets=("regcred", "mirror")):
        assert pod["imagePullSecrets"] == [{"name": "regcred"}, {"name": "mirror"}, {"name": "own"}]


QUANTITIES = st.sampled_from(["1m", "250m", "1", "2.5", "16", 3, "64Mi", "1Gi", "2G", "1e9", "500Ki"])
GIVEN = st.fixed_dictionaries(
    {}, optional={"requests": st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES, max_size=1)}
) | st.fixed_dictionaries(
    {}, optional={"limits": st.dictionaries(st.sampled_from(["cpu", "memory", "example.com/npu"]), QUANTITIES)}
)


@given(st.sampled_from(sorted(DEFAULTS)), GIVEN, GIVEN)
def test_whatever_is_given_stays_and_no_request_exceeds_its_limit(kind: str, wanted: Any, chart: Any) -> None:
    made = with_defaults(kind, wanted, {kind: chart})
    for part, values in wanted.items():
        assert values.items() <= made[part].items()
    for name in ("cpu", "memory"):
        assert amount(made["requests"][name]) <= amount(made["limits"][name])


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("500m", "0.5"),
        ("1Gi", "1073741824"),
        ("2k", "2000"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        (4, "4"),
        (".5", "0.5"),
        ("1Ei", "1152921504606846976"),
        ("2.", "2"),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(quantity: Any, number: str) -> None:
    assert amount(quantity) == Decimal(number)


@pytest.mark.parametrize("text", ["much", "1.2.3", ".", "..Gi", "1Ee", "e3", ""])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{re.escape(text)}' is no quantity"):
        amount(text)


# --- the chart ---


def environment(values: dict[str, Any]) -> dict[str, str]:
    """Returns the operator's environment as the chart renders it."""
    deployments = of_kind(render(values), "Deployment")
    (deployment,) = (item for item in deployments if "operator" in item["metadata"]["name"])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value", "from Kubernetes") for item in container["env"]}


@pytest.mark.lab_programs
def test_the_charts_default_resources_reach_the_operator() -> None:
    assert from_environment(environment({})).decisions.default_resources == {}
    given = environment({"defaultResources": {"server": {"limits": {"cpu": 2}}}})
    server = from_environment(given).decisions.default_resources["server"]
    assert amount(server["limits"]["cpu"]) == 2
    assert amount(server["limits"]["memory"]) == amount("512Mi")


@pytest.mark.lab_programs
def test_default_resources_that_make_no_sense_end_the_operator_with_the_variables_name() -> None:
    given = {**environment({}), "EDGEMODEL_DEFAULT_RESOURCES": '{"gpu": {"limits": {"cpu": 1}}}'}
    with pytest.raises(Stalled, match="EDGEMODEL_DEFAULT_RESOURCES"):
        from_environment(given)
