"""The lab behaves like a cluster, and as the other tests assume. Needs `python -m examples.lab up`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from examples import lab
from examples.lab import build, cluster, images, processes, tools
from examples.lab.layout import FILES, PROBE_IMAGE, REGISTRY, STATE
from examples.lab.progress import run
from examples.lab.waiting import wait_for
from tests.support.coredns import corefile_plugins

pytestmark = pytest.mark.lab

NAMESPACE = "lab-test"
PIN = "pin.edgemodel.node-restriction.kubernetes.io/defects"


@pytest.fixture(autouse=True, scope="module")
def namespace() -> Iterator[None]:
    assert cluster.status().healthy, "no healthy lab: python -m examples.lab up"
    lab.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    lab.kubectl("create", "namespace", NAMESPACE)
    # The profile that users' namespaces should have; the probe has to comply.
    lab.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    yield
    lab.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def pod(name: str, *arguments: str, node: str, **spec: Any) -> dict[str, Any]:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "probe", "image": PROBE_IMAGE, "args": list(arguments), "securityContext": security}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            **spec,
        },
    }


def create(*objects: dict[str, Any]) -> None:
    lab.kubectl("create", "--filename=-", stdin="\n---\n".join(json.dumps(item) for item in objects))


def wait_until(condition: str, what: str, *, timeout_s: int = 60) -> None:
    lab.kubectl("wait", what, f"--for={condition}", f"--namespace={NAMESPACE}", f"--timeout={timeout_s}s")


def output_of(name: str, *arguments: str, node: str) -> str:
    """Returns the output of the probe in a pod on that node; it runs again if kube-proxy learns of a Service too
    late."""
    create(pod(name, *arguments, node=node, restartPolicy="OnFailure"))
    wait_until("jsonpath={.status.phase}=Succeeded", f"pod/{name}")
    return lab.kubectl("logs", name, f"--namespace={NAMESPACE}")


def test_three_nodes_are_ready_and_labelled() -> None:
    items = json.loads(lab.kubectl("get", "nodes", "--output=json"))["items"]
    roles = {item["metadata"]["name"]: item["metadata"]["labels"]["edge"] for item in items}
    assert roles == {"camera-1": "camera", "camera-2": "camera", "gateway-1": "gateway"}
    assert all("kubernetes.io/arch" in item["metadata"]["labels"] for item in items)


def test_the_names_of_all_are_answered_from_the_gateway_which_no_test_of_a_camera_cuts() -> None:
    names = ["--namespace=kube-system", "--selector=k8s-app=kube-dns"]
    pods = json.loads(lab.kubectl("get", "pods", *names, "--output=json"))
    assert [item["spec"]["nodeName"] for item in pods["items"]] == ["gateway-1"]


def test_coredns_has_the_plugins_of_its_corefile() -> None:
    assert corefile_plugins() - set(run([build.programs_dir() / "coredns", "-plugins"]).split()) == set()


def test_pods_read_files_by_name() -> None:
    (FILES / "greeting.txt").write_text("good morning\n")
    assert output_of("reads-files", "get", "http://files.lab:8000/greeting.txt", node="camera-2") == "good morning\n"


def test_pods_reach_the_registry_by_name() -> None:
    assert output_of("reads-registry", "get", f"http://{REGISTRY}/v2/", node="camera-1") == "{}"


@pytest.mark.parametrize("node", ["camera-1", "camera-2"])
def test_a_service_reaches_its_pod_from_the_same_and_from_another_node(node: str) -> None:
    server = f"serves-{node}"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": server, "namespace": NAMESPACE},
        "spec": {"selector": {"app": server}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    create(service, pod(server, "serve", ":8080", node="camera-1"))
    wait_until("condition=Ready", f"pod/{server}")
    url = f"http://{server}.{NAMESPACE}.svc.cluster.local/"
    wait_for("the endpoint", lambda: _ready_endpoints(server))
    assert output_of(f"asks-{server}", "get", url, node=node).strip() == server


def _ready_endpoints(service: str) -> bool:
    selector = f"--selector=kubernetes.io/service-name={service}"
    slices = json.loads(lab.kubectl("get", "endpointslices", selector, f"--namespace={NAMESPACE}", "--output=json"))
    return any(end["conditions"]["ready"] for item in slices["items"] for end in item["endpoints"] or [])


def test_a_program_on_the_host_reaches_the_network_as_one_on_the_node() -> None:
    answer = lab.node_exec("gateway-1", ["hostname", "-I"], capture_output=True)
    assert "198.18.0.13" in answer.stdout.split()


def test_nodes_pull_from_the_public_registry() -> None:
    digest = images.push("127.0.0.1:5000", "lab-test/probe", archive=STATE / "images/probe.tar")
    image = f"{REGISTRY}/lab-test/probe@{digest}"
    create(pod("pulled", "serve", ":8080", node="camera-2", container={"image": image}))
    wait_until("condition=Ready", "pod/pulled")


def test_a_claim_gets_a_folder_on_the_node_of_its_pod_and_releases_it() -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    create(claim, pod("claims", "serve", ":8080", node="gateway-1", container=mount, volumes=[volume]))
    wait_until("condition=Ready", "pod/claims")
    folders = lab.node_named("gateway-1").directory / "volumes"
    assert len(list(folders.glob(f"*_{NAMESPACE}_data"))) == 1
    lab.kubectl("delete", "pod/claims", "pvc/data", f"--namespace={NAMESPACE}")
    wait_for("the folder to go", lambda: not list(folders.glob(f"*_{NAMESPACE}_data")))


def test_a_kubelet_cannot_pin_its_node() -> None:
    node = lab.node_named("camera-1")
    kubectl = [str(tools.bin_dir() / "kubectl"), f"--kubeconfig={node.kubeconfig}"]
    may = lab.node_exec(node.name, [*kubectl, "label", "node", node.name, "edge=camera"], capture_output=True)
    assert may.returncode == 0, may.stderr
    may_not = lab.node_exec(node.name, [*kubectl, "label", "node", node.name, f"{PIN}=x"], capture_output=True)
    assert "is not allowed to modify labels" in may_not.stderr


def test_a_cut_node_turns_not_ready_and_its_pods_run_on() -> None:
    create(pod("runs-on", "serve", ":8080", node="camera-2"))
    wait_until("condition=Ready", "pod/runs-on")
    address = lab.kubectl("get", "pod", "runs-on", f"--namespace={NAMESPACE}", "--output=jsonpath={.status.podIP}")
    lab.cut("camera-2")
    try:
        lab.kubectl("wait", "node/camera-2", "--for=condition=Ready=Unknown", "--timeout=60s")
        assert cluster.status().cut == ["camera-2"]
        probe = ["curl", "--silent", "--fail", "--max-time", "5", f"http://{address}:8080/"]
        assert lab.node_exec("camera-2", probe, capture_output=True).stdout.strip() == "runs-on"
        assert lab.node_exec("camera-1", probe, capture_output=True).returncode != 0
    finally:
        lab.join("camera-2")
    lab.kubectl("wait", "node/camera-2", "--for=condition=Ready=True", "--timeout=60s")


def test_nothing_leaves_the_lab() -> None:
    answer = lab.node_exec("camera-1", ["curl", "--silent", "--max-time", "3", "http://192.0.2.1/"])
    assert answer.returncode != 0


def test_up_on_a_healthy_lab_changes_nothing() -> None:
    before = {name: processes.pid_of(name) for name in processes.recorded()}
    begun = time.monotonic()
    cluster.up()
    assert time.monotonic() - begun < 5
    assert {name: processes.pid_of(name) for name in processes.recorded()} == before
