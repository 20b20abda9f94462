"""What K3s brings with it and upstream does not: CoreDNS and a default StorageClass with a few volumes."""

from __future__ import annotations

from pathlib import Path
from string import Template

from . import tools
from .layout import CONTROL_PLANE_ADDRESS, COREDNS_IMAGE, DNS_SERVICE_ADDRESS, HERE, KUBECONFIG, NODES
from .nodes import VOLUMES
from .progress import run

VOLUME_NODE = NODES[0]
_HOSTS = [f"{CONTROL_PLANE_ADDRESS} registry.lab files.lab", *(f"{node.address} {node.name}" for node in NODES)]


def kubectl(*arguments: str | Path, stdin: str | None = None) -> str:
    """As admin of the lab; its standard output. LabError with its standard error if it fails."""
    return run([tools.bin_dir() / "kubectl", f"--kubeconfig={KUBECONFIG}", *arguments], stdin=stdin)


def apply() -> None:
    volumes = [
        _manifest(
            "volume",
            name=f"{VOLUME_NODE.name}-{number}",
            node=VOLUME_NODE.name,
            path=str(VOLUME_NODE.directory / f"volumes/{number}"),
        )
        for number in range(1, VOLUMES + 1)
    ]
    _create(
        _manifest("coredns", image=COREDNS_IMAGE, address=DNS_SERVICE_ADDRESS, hosts="\n    ".join(_HOSTS)),
        _manifest("storage-class"),
        *volumes,
    )


def _manifest(file: str, /, **values: str) -> str:
    return Template((HERE / f"manifests/{file}.yaml").read_text()).substitute(values)


def _create(*manifests: str) -> None:
    kubectl("create", "--filename=-", stdin="\n---\n".join(manifests))
