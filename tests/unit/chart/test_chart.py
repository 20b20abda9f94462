"""The chart's properties for all values, and the effects of single values."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_operator.cluster import lease
from edgemodel.metrics import IDENTITY_LABELS
from tests.support import manifests
from tests.unit.chart import kubernetes_schemas
from tests.unit.chart.rendering import (
    CHART,
    NAMESPACE,
    HelmError,
    Object,
    containers,
    environment,
    helm,
    named,
    of_kind,
    pods,
    render,
    rights,
)

pytestmark = pytest.mark.lab_programs

CRD = "CustomResourceDefinition"
PROMETHEUS_OPERATOR = "monitoring.coreos.com/v1"  # on request only


def test_helm_finds_nothing_to_complain_about() -> None:
    said = helm("lint", "--strict", CHART)
    assert "WARNING" not in said
    assert "0 chart(s) failed" in said


@pytest.mark.parametrize("version", kubernetes_schemas.VERSIONS)
def test_every_object_is_valid_in_every_supported_kubernetes(objects: list[Object], version: str) -> None:
    for item in objects:
        if item["apiVersion"] != PROMETHEUS_OPERATOR:
            assert kubernetes_schemas.problems(item, version) == [], item["metadata"]["name"]


def test_the_schemas_find_what_kubernetes_would_refuse() -> None:
    service = named(render(), "Service", "em-operator")
    service["spec"]["prots"] = []
    service["spec"]["ports"][0]["port"] = "http"
    assert kubernetes_schemas.problems(service, "1.33") == [
        "$.spec.ports[0].port: 'http' is not of type 'integer'",
        "$.spec: Additional properties are not allowed ('prots' was unexpected)",
    ]


def test_rendering_twice_gives_the_same(values: dict[str, Any], objects: list[Object]) -> None:
    assert render(values) == objects


def test_no_two_objects_have_one_name(objects: list[Object]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))


STRANGE_NAMES = [
    ("r" * 53, "n" * 63),
    ("1e3", "true"),
    ("null", "0x1f"),
    ("a.b", "123"),
    (f"{'r' * 47}.{'1' * 5}", "n"),
]
"""The strange names of releases and namespaces that Helm and Kubernetes allow, some of which YAML reads as another type
than a string."""
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,6}[a-z0-9])?", fullmatch=True)


def is_valid_anywhere(name: object) -> bool:
    """Returns whether the name is one for every kind, Services included."""
    return isinstance(name, str) and re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name) is not None


def labels_within(value: Any) -> Iterator[Any]:
    """Yields the value of every label and selector below."""
    for key, below in value.items() if isinstance(value, dict) else ():
        if key in ("labels", "matchLabels", "selector") and "matchLabels" not in below:
            yield from below.values()
        yield from labels_within(below)
    for below in value if isinstance(value, list) else ():
        yield from labels_within(below)


def check_names(release: str, namespace: str) -> set[tuple[str, str]]:
    """Returns (kind, name) of every object of a release in whose names and labels nothing is wrong."""
    objects = [item for item in render(release=release, namespace=namespace) if item["kind"] != CRD]
    for item in objects:
        assert is_valid_anywhere(item["metadata"]["name"])
        assert item["metadata"].get("namespace", namespace) == namespace
        assert all(isinstance(value, str) and len(value) <= 63 for value in labels_within(item)), item
    return {(item["kind"], item["metadata"]["name"]) for item in objects}


@pytest.mark.parametrize(("release", "namespace"), STRANGE_NAMES)
def test_names_are_valid_for_the_longest_and_strangest(release: str, namespace: str) -> None:
    check_names(release, namespace)


@pytest.mark.parametrize("name", ["123", "1e3", "true", "0x1f"])
def test_a_name_in_a_value_stays_a_text(name: str) -> None:
    class_of_pods = {"priorityClassName": name}
    values: dict[str, Any] = {
        "imagePullSecrets": [name],
        "operator": class_of_pods,
        "prometheus": {**class_of_pods, "secretRef": {"name": name}},
        "registry": {**class_of_pods, "storage": {"existingClaim": name}},
    }
    objects = render(values)
    for _, pod in pods(objects):
        assert pod["imagePullSecrets"] == [{"name": name}]
        assert pod["priorityClassName"] == name
    volumes = [volume for _, pod in pods(objects) for volume in pod.get("volumes", [])]
    assert name in [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    claims = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
    assert name in [claim["claimName"] for claim in claims]
    (claim,) = of_kind(
        render({"registry": {"storage": {"storageClassName": name, "size": "7"}}}), "PersistentVolumeClaim"
    )
    assert claim["spec"]["storageClassName"] == name
    assert claim["spec"]["resources"]["requests"]["storage"] == "7"


@given(st.tuples(NAMES, NAMES).map(".".join) | NAMES, NAMES)
@settings(max_examples=4, deadline=None, derandomize=True)
def test_names_are_valid_whatever_they_are(release: str, namespace: str) -> None:
    check_names(release, namespace)


@pytest.mark.parametrize(("one", "other"), [(f"{'r' * 52}a", f"{'r' * 52}b"), ("a.b", "a-b"), ("1", "em-1")])
def test_two_releases_have_no_name_in_common(one: str, other: str) -> None:
    assert check_names(one, NAMESPACE).isdisjoint(check_names(other, NAMESPACE))


def test_no_port_of_a_network_policy_leaves_its_protocol_to_the_api_server(objects: list[Object]) -> None:
    """A list of ports is one value: what the API server adds to an item differs from the manifest for ever."""
    for policy in of_kind(objects, "NetworkPolicy"):
        for way in ("ingress", "egress"):
            for rule in policy["spec"].get(way, []):
                assert all("protocol" in port for port in rule.get("ports", [])), policy["metadata"]["name"]


def test_every_namespaced_object_says_its_namespace(objects: list[Object]) -> None:
    """The output of ``helm template`` for GitOps gets its namespace from nothing else."""
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for item in objects:
        expected = None if item["kind"] in cluster_wide else NAMESPACE
        assert item["metadata"].get("namespace") == expected


# --- the restricted profile ---


def test_every_pod_fits_the_restricted_profile(objects: list[Object]) -> None:
    for name, pod in pods(objects):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (name, container["name"])
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_only_the_operator_has_a_token_of_the_api_server(objects: list[Object]) -> None:
    with_token = [name for name, pod in pods(objects) if pod.get("automountServiceAccountToken") is not False]
    assert with_token == ["em-operator"]


def test_every_emptydir_has_a_limit(objects: list[Object]) -> None:
    for name, pod in pods(objects):
        for volume in pod["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), (name, volume["name"])


# --- images ---


def test_every_image_has_a_digest_or_a_tag_other_than_latest(objects: list[Object]) -> None:
    for _, pod in pods(objects):
        for container in containers(pod):
            images = [container["image"]]
            images += [value for name, value in environment(container).items() if name.endswith("_IMAGE")]
            for image in images:
                assert re.fullmatch(r"[^@\s]+(:[\w.-]+|@sha256:[0-9a-f]{64})", image), image
                assert not image.endswith(":latest")


def test_a_digest_stands_in_for_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    objects = render({"server": {"image": {"tag": "1.2.3", "digest": digest}}})
    assert operator_environment(objects)["EDGEMODEL_SERVER_IMAGE"] == f"docker.io/edgemodel/server@{digest}"


# --- small nodes, K3s ---


def test_requests_fit_a_node_of_one_gigabyte() -> None:
    requested = limited = 0
    for _, pod in pods(render()):
        for container in pod["containers"]:
            requested += mebibytes(container["resources"]["requests"]["memory"])
            limited += mebibytes(container["resources"]["limits"]["memory"])
    assert requested <= 256
    assert limited <= 768


def test_pods_prefer_servers_to_agents_by_default() -> None:
    """An agent may go offline for days, and a volume of local-path stays where it was created."""
    for _, pod in pods(render()):
        (preferred,) = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        expression = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
        assert preferred["preference"]["matchExpressions"] == [expression]
    own: dict[str, Any] = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}
    registry = named(render({"registry": {"affinity": own}}), "Deployment", "em-registry")
    assert registry["spec"]["template"]["spec"]["affinity"] == own


def test_no_load_balancer_and_no_port_that_traefik_has(objects: list[Object]) -> None:
    for service in of_kind(objects, "Service"):
        assert service["spec"].get("type", "ClusterIP") in {"ClusterIP", "NodePort"}
        for port in service["spec"]["ports"]:
            assert not {port["port"], port.get("nodePort")} & {80, 443}


def test_nothing_of_a_nodes_runtime_is_named(objects: list[Object]) -> None:
    assert "containerd" not in json.dumps([item for item in objects if item["kind"] != "CustomResourceDefinition"])


# --- rights ---


def test_the_operator_may_do_this_in_the_cluster_and_no_more(objects: list[Object]) -> None:
    """The test of test_rights.py shows that it uses all of them."""
    (role,) = of_kind(objects, "ClusterRole")
    watch = {"list", "watch"}
    make = {*watch, "get", "create", "delete"}
    apply = {*watch, "create", "patch", "delete"}
    assert rights(role) == {
        "edgemodel.io/edgemodels": watch,
        "edgemodel.io/edgemodels/status": {"patch"},
        "edgemodel.io/edgemodelrevisions": make,
        "edgemodel.io/edgemodelrevisions/status": {"patch"},
        "batch/jobs": make,
        "apps/daemonsets": make,
        "/services": apply,
        "networking.k8s.io/networkpolicies": apply,
        "/pods": watch,
        "/nodes": {*watch, "patch"},
        "/events": {"create", "list"},
        "/secrets": {"create"},
        "authentication.k8s.io/tokenreviews": {"create"},
    }


def test_the_operator_holds_no_lease_but_its_own(objects: list[Object]) -> None:
    (role,) = of_kind(objects, "Role")
    leases = [rule for rule in role["rules"] if "leases" in rule["resources"]]
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in leases] == [
        (None, ["create"]),
        ([lease.NAME], ["get", "update"]),
    ]


def test_the_operator_reads_no_secret_but_its_own_keys(objects: list[Object], values: dict[str, Any]) -> None:
    (role,) = of_kind(objects, "Role")
    secrets = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    embedded = not values.get("registry", {}).get("external")
    named_secret = {"resourceNames": ["edgemodel-registry-keys"], "verbs": ["get"]}
    expected = [{"verbs": ["create"]}, named_secret] if embedded else []
    assert [{key: rule[key] for key in rule.keys() & {"verbs", "resourceNames"}} for rule in secrets] == expected


def test_the_operator_may_restart_the_registry_where_its_artifacts_outlive_its_pod(objects: list[Object]) -> None:
    (role,) = of_kind(objects, "Role")
    rules = [rule for rule in role["rules"] if "deployments" in rule["resources"]]
    lasting = [
        item["metadata"]["name"]
        for item in of_kind(objects, "Deployment")
        if any("persistentVolumeClaim" in volume for volume in item["spec"]["template"]["spec"].get("volumes", []))
    ]
    assert [rule["resourceNames"] for rule in rules] == [[name] for name in lasting]
    assert all(rule["verbs"] == ["get", "patch"] for rule in rules)
    assert operator_environment(objects)["EDGEMODEL_REGISTRY_DEPLOYMENT"] == "".join(lasting)


# --- the parts find each other ---


def test_every_service_selects_one_workload_that_has_its_ports(objects: list[Object]) -> None:
    for service in of_kind(objects, "Service"):
        selected = [item for item in of_kind(objects, "Deployment") if matches(item, service["spec"]["selector"])]
        assert len(selected) == 1, service["metadata"]["name"]
        offered = port_names(selected[0])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= offered


def test_every_host_of_this_release_is_a_service_with_that_port(objects: list[Object]) -> None:
    ports = {
        (service["metadata"]["name"], port["port"])
        for service in of_kind(objects, "Service")
        for port in service["spec"]["ports"]
    }
    workloads = [item for item in objects if item["kind"] in {"ConfigMap", "Deployment"}]
    hosts = re.findall(rf"([\w-]+)\.{NAMESPACE}\.svc:(\d+)", json.dumps(workloads))
    assert {(name, int(port)) for name, port in hosts} <= ports


def test_every_volume_is_there_or_made_by_the_operator(objects: list[Object], values: dict[str, Any]) -> None:
    claims = {item["metadata"]["name"] for item in of_kind(objects, "PersistentVolumeClaim")} | {"models"}
    maps = {item["metadata"]["name"] for item in of_kind(objects, "ConfigMap")}
    for _, pod in pods(objects):
        for volume in pod["volumes"]:
            assert volume.get("configMap", {}).get("name") in {None, *maps}
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}
            assert volume.get("secret", {}).get("secretName") in {None, "edgemodel-registry-keys"}


def test_network_policies_name_ports_that_the_pods_have(objects: list[Object]) -> None:
    deployments = of_kind(objects, "Deployment")
    offered = {name for item in deployments for name in port_names(item)}
    for policy in of_kind(objects, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        selected = [item for item in deployments if matches(item, selector)]
        assert selected, policy["metadata"]["name"]
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= port_names(*selected)
        for rule in policy["spec"].get("egress", []):
            assert {port["port"] for port in rule.get("ports", []) if isinstance(port["port"], str)} <= offered


def test_every_pod_is_under_the_default_deny(objects: list[Object], values: dict[str, Any]) -> None:
    if not values.get("networkPolicy", {}).get("enabled", True):
        assert of_kind(objects, "NetworkPolicy") == []
        return
    policy = named(objects, "NetworkPolicy", "em-default-deny")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & policy.keys()
    assert all(matches(item, policy["podSelector"]["matchLabels"]) for item in of_kind(objects, "Deployment"))


def test_a_changed_configuration_restarts_its_pods() -> None:
    def checksum(values: dict[str, Any]) -> str:
        deployment = named(render(values), "Deployment", "em-prometheus")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) != checksum({"prometheus": {"scrapeIntervalSeconds": 5}})


# --- the operator's settings ---


def test_the_operators_settings_have_the_embedded_parts() -> None:
    told = operator_environment(render())
    assert told == {
        "EDGEMODEL_SERVER_IMAGE": "docker.io/edgemodel/server:0.1.0",
        "EDGEMODEL_SERVER_UPGRADE_POLICY": "OnNextCompression",
        "EDGEMODEL_COMPRESSOR_IMAGE": "docker.io/edgemodel/compressor:0.1.0",
        "EDGEMODEL_TRAINER_IMAGE": "docker.io/edgemodel/trainer:0.1.0",
        "EDGEMODEL_PROGRESS_URL": "http://em-operator.edgemodel-system.svc:8082/progress",
        "EDGEMODEL_REGISTRY_PUSH": "em-registry-push.edgemodel-system.svc:5000",
        "EDGEMODEL_REGISTRY_PULL": "localhost:30500",
        "EDGEMODEL_REGISTRY_EMBEDDED": "true",
        "EDGEMODEL_REGISTRY_DEPLOYMENT": "em-registry",
        "EDGEMODEL_REGISTRY_PUSH_SECRET": "",
        "EDGEMODEL_REGISTRY_PULL_SECRET": "",
        "EDGEMODEL_IMAGE_PULL_SECRETS": "",
        "EDGEMODEL_PLAIN_HTTP_HOSTS": "em-registry-push.edgemodel-system.svc:5000",
        "EDGEMODEL_ALLOWED_SOURCE_HOSTS": "",
        "EDGEMODEL_ALLOWED_CONVERTER_IMAGES": "",
        "EDGEMODEL_DEFAULT_RESOURCES": '{"compressor":{},"puller":{},"server":{},"trainer":{}}',
        "EDGEMODEL_PROMETHEUS_URL": "http://em-prometheus.edgemodel-system.svc:9090",
        "EDGEMODEL_PROMETHEUS_CREDENTIALS": "",
        "EDGEMODEL_PROMETHEUS_HEADERS": "{}",
        "EDGEMODEL_PROMQL_CHECKS": "true",
        "EDGEMODEL_LOG_FORMAT": "text",
        "EDGEMODEL_REASONS_URL": "",
    }


def test_the_operators_settings_have_named_layers_by_digest() -> None:
    layer = f"registry.example/layers/runtime-x@sha256:{'0' * 64}"
    told = operator_environment(render({"server": {"layers": {"runtime-x": layer}}}))
    assert json.loads(told["EDGEMODEL_SERVER_LAYERS"]) == {"runtime-x": layer}
    with pytest.raises(HelmError, match="/server/layers/runtime-x"):
        render({"server": {"layers": {"runtime-x": "registry.example/layers/runtime-x:latest"}}})


def test_the_users_own_registry_and_prometheus_stand_in_for_the_embedded_ones() -> None:
    objects = render(
        {
            "imagePullSecrets": ["a", "b"],
            "operator": {"plainHTTPHosts": ["files.example:8000"]},
            "registry": {
                "external": {
                    "host": "registry.example:5000",
                    "pushSecret": "push",
                    "pullSecret": "pull",
                    "plainHTTP": True,
                }
            },
            "prometheus": {
                "url": "https://prometheus.example",
                "secretRef": {"name": "metrics"},
                "headers": {"X-Scope-OrgID": "edge"},
            },
        }
    )
    assert [item["metadata"]["name"] for item in of_kind(objects, "Deployment")] == ["em-operator"]
    told = operator_environment(objects)
    assert told["EDGEMODEL_REGISTRY_PUSH"] == told["EDGEMODEL_REGISTRY_PULL"] == "registry.example:5000"
    assert told["EDGEMODEL_REGISTRY_EMBEDDED"] == "false"
    assert told["EDGEMODEL_REGISTRY_DEPLOYMENT"] == ""
    assert told["EDGEMODEL_REGISTRY_PUSH_SECRET"] == "push"
    assert told["EDGEMODEL_REGISTRY_PULL_SECRET"] == "pull"
    assert told["EDGEMODEL_IMAGE_PULL_SECRETS"] == "a,b"
    assert told["EDGEMODEL_PLAIN_HTTP_HOSTS"] == "registry.example:5000,files.example:8000"
    assert told["EDGEMODEL_PROMETHEUS_URL"] == "https://prometheus.example"
    assert json.loads(told["EDGEMODEL_PROMETHEUS_HEADERS"]) == {"X-Scope-OrgID": "edge"}
    (mounted,) = [item for _, pod in pods(objects) for item in pod["volumes"] if item["name"] == "prometheus"]
    assert mounted["secret"] == {"secretName": "metrics"}


def test_users_queries_are_passed_on_to_the_embedded_prometheus_only_by_default() -> None:
    own: dict[str, Any] = {"url": "https://prometheus.example"}
    for values, expected in (({}, "true"), (own, "false"), ({**own, "promQLChecks": True}, "true")):
        assert operator_environment(render({"prometheus": values}))["EDGEMODEL_PROMQL_CHECKS"] == expected
    assert operator_environment(render({"prometheus": {"promQLChecks": False}}))["EDGEMODEL_PROMQL_CHECKS"] == "false"


def test_a_servers_own_labels_do_not_name_it_to_prometheus() -> None:
    """Every identity label comes from the cluster; the server's own labels of the same names are dropped."""
    configuration = named(render(), "ConfigMap", "em-prometheus")["data"]["prometheus.yml"]
    (servers, _) = manifests.read(configuration)["scrape_configs"]
    monitors = of_kind(render({"podMonitor": {"enabled": True}}), "PodMonitor")
    (endpoint,) = named(monitors, "PodMonitor", "em-servers")["spec"]["podMetricsEndpoints"]
    assert not servers.get("honor_labels")
    assert not endpoint.get("honorLabels")
    assert {rule["targetLabel"] for rule in endpoint["relabelings"]} == set(IDENTITY_LABELS)
    for rules in (servers["metric_relabel_configs"], endpoint["metricRelabelings"]):
        (rule,) = rules
        assert rule["action"] == "labeldrop"
        assert all(re.fullmatch(rule["regex"], f"exported_{label}") for label in IDENTITY_LABELS)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://prometheus.example", 443),
        ("http://prometheus.example/base", 80),
        ("http://prometheus.monitoring.svc:9091", 9091),
    ],
)
def test_the_operator_may_reach_the_users_prometheus(url: str, port: int) -> None:
    policy = named(render({"prometheus": {"url": url}}), "NetworkPolicy", "em-operator")
    assert {"ports": [{"port": port, "protocol": "TCP"}]} in policy["spec"]["egress"]


def test_the_registrys_volume_outlives_the_release() -> None:
    claim = named(render(), "PersistentVolumeClaim", "em-registry")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_an_own_claim_is_used_and_none_is_made() -> None:
    objects = render({"registry": {"storage": {"existingClaim": "models"}}})
    assert of_kind(objects, "PersistentVolumeClaim") == []
    volumes = named(objects, "Deployment", "em-registry")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "models"}} in volumes


def test_what_nodes_pull_from_cannot_write() -> None:
    pod = named(render(), "Deployment", "em-registry")["spec"]["template"]["spec"]
    mounts = {container["name"]: container["volumeMounts"] for container in pod["containers"]}
    assert {"name": "data", "mountPath": "/var/lib/registry", "readOnly": True} in mounts["pull"]
    assert "keys" not in {mount["name"] for mount in mounts["pull"]}


def test_the_key_that_signs_stays_out_of_the_registrys_pod() -> None:
    pod = named(render(), "Deployment", "em-registry")["spec"]["template"]["spec"]
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret == {"secretName": "edgemodel-registry-keys", "items": [{"key": "tls.crt", "path": "tls.crt"}]}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"operator": {"image": {"tag": "latest"}}}, "/operator/image/tag"),
        ({"operator": {"image": {"digest": "sha256:12"}}}, "/operator/image/digest"),
        ({"operator": {"logFormat": "xml"}}, "/operator/logFormat"),
        ({"operator": {"reasonsURL": "docs/reasons.md"}}, "/operator/reasonsURL"),
        ({"operator": {"reasonsURL": "https://docs.example/reasons.html#top"}}, "/operator/reasonsURL"),
        ({"registry": {"nodePort": 80}}, "/registry/nodePort"),
        ({"registry": {"storage": {"type": "HostPath"}}}, "/registry/storage/type"),
        ({"registry": {"external": {"host": "https://registry.example"}}}, "/registry/external/host"),
        ({"prometheus": {"url": "prometheus:9090"}}, "/prometheus/url"),
        ({"operator": {"allowedConverterImages": ["registry.example"]}}, "/operator/allowedConverterImages"),
        ({"operator": {"replicas": 2}}, "replicas"),
        ({"promtheus": {}}, "promtheus"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(HelmError, match=re.escape(complaint)):
        render(values)


# --- helpers ---


def operator_environment(objects: list[Object]) -> dict[str, str]:
    (container,) = named(objects, "Deployment", "em-operator")["spec"]["template"]["spec"]["containers"]
    return environment(container)


def matches(deployment: Object, selector: dict[str, str]) -> bool:
    labels: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return selector.items() <= labels.items()


def port_names(*deployments: Object) -> set[str]:
    return {
        port["name"]
        for deployment in deployments
        for container in deployment["spec"]["template"]["spec"]["containers"]
        for port in container.get("ports", [])
    }


def mebibytes(quantity: str) -> int:
    assert quantity.endswith("Mi")
    return int(quantity[:-2])
