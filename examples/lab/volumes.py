"""A program with the function of K3s' local-path provisioner: a folder on the node for each claim, deleted with the
claim.

It runs beside the control plane. The scheduler has chosen the node before a claim arrives here (WaitForFirstConsumer).
"""

from __future__ import annotations

import shutil
import sys
import threading
from typing import Any

from . import api
from .layout import NODES, Node

PROVISIONER = "rancher.io/local-path"
CLASS = "local-path"
PERIOD_S = 1.0
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def serve_claims() -> None:
    """Makes a volume for each pending claim that has a node, and deletes released volumes with their folders.

    Raises OSError if the API server does not answer, or refuses.
    """
    nodes = {node.name: node for node in NODES}
    volumes = [volume for volume in api.get("/api/v1/persistentvolumes")["items"] if _is_ours(volume)]
    there = {volume["metadata"]["name"] for volume in volumes}
    for claim in api.get("/api/v1/persistentvolumeclaims")["items"]:
        node = nodes.get(claim["metadata"].get("annotations", {}).get(_SELECTED_NODE, ""))
        waits = claim["spec"].get("storageClassName") == CLASS and claim["status"]["phase"] == "Pending"
        if node is not None and waits and _name(claim) not in there:
            _provide(claim, node)
    for volume in volumes:
        if volume["status"].get("phase") == "Released" and _reclaims(volume):
            shutil.rmtree(volume["spec"]["hostPath"]["path"], ignore_errors=True)
            api.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")


def _provide(claim: dict[str, Any], node: Node) -> None:
    metadata = claim["metadata"]
    folder = node.directory / "volumes" / f"{_name(claim)}_{metadata['namespace']}_{metadata['name']}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # fsGroup does not reach a hostPath
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}
    volume = {
        "metadata": {"name": _name(claim), "annotations": {_PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
            "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                **{key: metadata[key] for key in ("namespace", "name", "uid")},
            },
        },
    }
    api.post("/api/v1/persistentvolumes", volume)


def _name(claim: dict[str, Any]) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def _is_ours(volume: dict[str, Any]) -> bool:
    return bool(volume["metadata"].get("annotations", {}).get(_PROVISIONED_BY) == PROVISIONER)


def _reclaims(volume: dict[str, Any]) -> bool:
    """Returns whether the volume is deleted with its claim; somebody may have set Retain on it."""
    return bool(volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete")


def main() -> None:
    """Serves claims every second, forever; it prints errors of the API server to standard error and tries again."""
    pause = threading.Event()
    while True:
        try:
            serve_claims()
        except OSError as error:  # the API server is busy or gone; the next round retries
            print(error, file=sys.stderr, flush=True)
        pause.wait(PERIOD_S)
