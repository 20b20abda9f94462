"""The edge nodes: each a namespace with its own containerd, kubelet and kube-proxy, like a separate machine.

The three share one mount namespace, kept by a process that sleeps. There /run is empty and /var/lib/kubelet,
/var/lib/cni and /var/log are folders of the node, so that two kubelets on one kernel do not see each other.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import cgroups, network, processes
from .layout import (
    CGROUP,
    CONTROL_PLANE_ADDRESS,
    DNS_SERVICE_ADDRESS,
    IMAGES,
    LAB_NETWORK,
    PAUSE_IMAGE,
    PKI,
    REGISTRY,
    REGISTRY_PORT,
    Node,
)
from .progress import LabError, run
from .waiting import wait_for

COMPONENTS = ("machine", "containerd", "kubelet", "kube-proxy")


def component(node: Node, name: str) -> str:
    """Returns the name by which ``processes`` knows a component of the node, such as ``camera-1-kubelet``."""
    return f"{node.name}-{name}"


def start_runtime(node: Node) -> None:
    """Starts namespaces and containerd, and imports the images that cannot come from a registry."""
    cgroups.make(f"{node.name}/system")
    _write_configuration(node)
    outside = [*network.enter(node.namespace), "unshare", "--mount", "--uts", "--propagation", "private"]
    _start(node, "machine", ["sh", "-ec", _machine_script(node)], enter=outside)
    wait_for(f"the namespaces of {node.name}", (node.directory / "made").exists, interval_s=0.02)
    inside = _enter(node)
    _start(node, "containerd", ["containerd", "--config", node.directory / "containerd.toml"], enter=inside)
    try:
        wait_for(f"containerd of {node.name}", lambda: run([*inside, "ctr", "version"]), interval_s=0.1)
    except TimeoutError as error:
        processes.require_alive([component(node, "containerd")])
        raise LabError(str(error)) from error
    for archive in sorted(IMAGES.glob("*.tar")):
        import_image(node, archive)


def import_image(node: Node, archive: Path) -> None:
    """Imports an image as an air-gapped K3s does from its images folder; pods must not pull it Always."""
    run([*_enter(node), "ctr", "--namespace=k8s.io", "images", "import", archive.resolve()])


def start_kubelet(node: Node, binaries: Path) -> None:
    """Starts kubelet and kube-proxy; the API server has to be ready."""
    inside = _enter(node)
    proxy = [
        f"--kubeconfig={PKI}/proxy.kubeconfig",
        f"--hostname-override={node.name}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={LAB_NETWORK}",
        # These belong to the host's namespace; a kube-proxy that cannot set them exits.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        "--v=1",
    ]
    kubelet = [
        f"--config={node.directory}/kubelet.json",
        f"--kubeconfig={node.kubeconfig}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels=edge={node.role}",
        "--root-dir=/var/lib/kubelet",
        "--v=1",
    ]
    _start(node, "kube-proxy", [binaries / "kube-proxy", *proxy], enter=inside)
    _start(node, "kubelet", [binaries / "kubelet", *kubelet], enter=inside)


def node_exec(node: Node, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program of the host in the node's network namespace, so that it communicates like a program on that node.

    ``options`` go to subprocess.run; text mode is on. Files and users are the host's.
    """
    command = [*network.enter(node.namespace), *(str(word) for word in argv)]
    return subprocess.run(command, **{"text": True, "check": False, **options})


def node_start(node: Node, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
    """Starts a program as ``node_exec`` runs one; the caller ends it. ``options`` go to subprocess.Popen."""
    command = [*network.enter(node.namespace), *(str(word) for word in argv)]
    return subprocess.Popen(command, **{"text": True, **options})


def _start(node: Node, name: str, argv: list[str | Path], *, enter: list[str]) -> None:
    processes.start(component(node, name), argv, cgroup=f"{node.name}/system", enter=enter)


def _enter(node: Node) -> list[str]:
    pid = processes.pid_of(component(node, "machine"))
    if pid is None:
        raise LabError(f"the namespaces of {node.name} are gone; see {processes.log_of(component(node, 'machine'))}")
    return ["nsenter", f"--target={pid}", "--mount", "--net", "--uts"]


def _machine_script(node: Node) -> str:
    d = node.directory
    return f"""\
hostname {node.name}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/containerd
mount --bind {d}/kubelet /var/lib/kubelet
mount --make-rshared /var/lib/kubelet
mount --bind {d}/cni /var/lib/cni
mount --bind {d}/log /var/log
touch {d}/made
exec sleep infinity
"""


def _write_configuration(node: Node) -> None:
    d = node.directory
    for folder in ("kubelet", "cni", "cni.d", "log", "containerd", "volumes", f"certs.d/{REGISTRY}"):
        (d / folder).mkdir(parents=True, exist_ok=True)
    for mount_point in ("/var/lib/kubelet", "/var/lib/cni"):
        Path(mount_point).mkdir(exist_ok=True)
    (d / "resolv.conf").write_text(f"nameserver {DNS_SERVICE_ADDRESS}\n")
    (d / "kubelet.json").write_text(json.dumps(_kubelet_configuration(node), indent=1))
    (d / "cni.d/pods.conflist").write_text(json.dumps(_cni_configuration(node), indent=1))
    (d / "containerd.toml").write_text(_containerd_configuration(node))
    registry = f"http://{CONTROL_PLANE_ADDRESS}:{REGISTRY_PORT}"
    (d / f"certs.d/{REGISTRY}/hosts.toml").write_text(
        f'server = "{registry}"\n[host."{registry}"]\n  capabilities = ["pull", "resolve"]\n'
    )


def _kubelet_configuration(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{PKI}/{node.name}.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}/{node.name}",  # two kubelets with one root kill each other's pods
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "resolvConf": f"{node.directory}/resolv.conf",
        "volumePluginDir": f"{node.directory}/kubelet/volume-plugins",
        "nodeStatusUpdateFrequency": "3s",
        "serializeImagePulls": False,
        # All nodes share the host's disk: how full that is says nothing about the lab.
        "evictionHard": {"imagefs.available": "1%", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "containerLogMaxSize": "5Mi",
        "containerLogMaxFiles": 2,
    }


def _cni_configuration(node: Node) -> dict[str, Any]:
    """Returns a configuration with ptp, not bridge: pods of one node then reach each other's Services on kernels
    without bridge netfilter, too."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pod_range}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd_configuration(node: Node) -> str:
    """Returns a configuration with restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox dies (`can't get
    final child's PID from pipe`)."""
    return f"""\
version = 2
root = "{node.directory}/containerd"
state = "/run/containerd"
[debug]
  level = "warn"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{node.directory}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{node.directory}/cni.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""
