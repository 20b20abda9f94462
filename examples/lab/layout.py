"""Names, addresses and folders of the lab; constants only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("EDGEMODEL_LAB_DIR", "/var/lib/edgemodel-lab"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgemodel-lab"
LOCK = Path("/run/lock/edgemodel-lab.lock")  # one lab per machine, wherever its state is

PKI = STATE / "pki"
LOGS = STATE / "log"
RECORDS = STATE / "processes"
IMAGES = STATE / "images"
FILES = STATE / "files"  # the files that pods read at http://files.lab:8000/
KUBECONFIG = STATE / "kubeconfig"

CGROUP = "edgemodel-lab"

# 198.18.0.0/15 is set aside for network tests (RFC 2544): nothing of it is ever routed.
CONTROL_PLANE_NAMESPACE = "edgemodel-control-plane"
CONTROL_PLANE_ADDRESS = "198.18.0.1"
SWITCH_NAMESPACE = "edgemodel-switch"
LAB_NETWORK = "198.18.0.0/16"
SERVICE_RANGE = "198.18.96.0/20"
API_SERVICE_ADDRESS = "198.18.96.1"
DNS_SERVICE_ADDRESS = "198.18.96.10"

API_PORT = 6443
REGISTRY_PORT = 5000
FILES_PORT = 8000
REGISTRY = f"registry.lab:{REGISTRY_PORT}"

PAUSE_IMAGE = "localhost/edgemodel-lab/pause:1"
PROBE_IMAGE = "localhost/edgemodel-lab/probe:1"  # on every node: `/probe serve ADDRESS`, `/probe get URL`
COREDNS_IMAGE = "localhost/edgemodel-lab/coredns:1"


@dataclass(frozen=True)
class Node:
    """An edge node: a network namespace with a containerd, a kubelet and a kube-proxy of its own."""

    name: str
    role: str  # the value of the label ``edge``
    address: str
    pod_range: str

    @property
    def namespace(self) -> str:
        """Returns the name of the node's network namespace."""
        return f"edgemodel-{self.name}"

    @property
    def directory(self) -> Path:
        """Returns the folder with the node's state and configuration."""
        return STATE / "nodes" / self.name

    @property
    def kubeconfig(self) -> Path:
        """Returns a file with the kubelet's own credentials, and the API server's address in the lab's network."""
        return PKI / f"{self.name}.kubeconfig"


NODES = (
    Node("camera-1", "camera", "198.18.0.11", "198.18.11.0/24"),
    Node("camera-2", "camera", "198.18.0.12", "198.18.12.0/24"),
    Node("gateway-1", "gateway", "198.18.0.13", "198.18.13.0/24"),
)


def node_named(name: str) -> Node:
    """Returns the node. Raises KeyError with the existing names."""
    for node in NODES:
        if node.name == name:
            return node
    raise KeyError(f"no node {name!r}; there are {', '.join(node.name for node in NODES)}")
