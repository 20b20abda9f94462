"""A real edge cluster on one Linux machine; README.md beside this file describes it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from . import cluster, control_plane, nodes
from .addons import kubectl
from .layout import API_PORT, CONTROL_PLANE_ADDRESS, FILES, KUBECONFIG, NODES, PKI, REGISTRY, Node, node_named
from .progress import LabError
from .waiting import wait_for

__all__ = [
    "API_PORT",
    "CONTROL_PLANE_ADDRESS",
    "FILES",
    "KUBECONFIG",
    "NODES",
    "PKI",
    "REGISTRY",
    "LabError",
    "Node",
    "control_plane_start",
    "cut",
    "down",
    "import_image",
    "join",
    "kubectl",
    "node_exec",
    "node_named",
    "node_start",
    "slow",
    "stale_services",
    "status",
    "up",
    "wait_for",
    "without_api",
]

up, down, status, without_api = cluster.up, cluster.down, cluster.status, cluster.without_api


def cut(node: str) -> None:
    """Cuts the node's link."""
    cluster.cut(node_named(node))


def join(node: str) -> None:
    """Restores the node's link."""
    cluster.join(node_named(node))


def slow(node: str, processor_share: float | None) -> None:
    """Limits all pods of the node together to a share of one processor; None: no limit."""
    cluster.slow(node_named(node), processor_share)


def stale_services(*names: str) -> AbstractContextManager[None]:
    """Stops the kube-proxies of these nodes inside the context, so that they learn of no pod that comes or goes."""
    return cluster.stale_services(*map(node_named, names))


def import_image(archive: Path) -> None:
    """Imports an image archive (Docker's or OCI's layout) into the containerd of every node, without a registry."""
    for node in NODES:
        nodes.import_image(node, archive)


def node_start(node: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
    """Starts a program as ``node_exec`` runs one; ``options`` go to subprocess.Popen."""
    return nodes.node_start(node_named(node), argv, **options)


def control_plane_start(argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
    """Starts a program of this machine in the API server's namespace; ``options`` go to subprocess.Popen."""
    return control_plane.start_beside(argv, **options)


def node_exec(node: str, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program of this machine in the node's network namespace; ``options`` go to subprocess.run."""
    return nodes.node_exec(node_named(node), argv, **options)
