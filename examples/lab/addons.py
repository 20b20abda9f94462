"""The add-ons that K3s includes and upstream Kubernetes lacks: CoreDNS and a default StorageClass."""

from __future__ import annotations

from pathlib import Path
from string import Template

from . import tools
from .layout import CONTROL_PLANE_ADDRESS, COREDNS_IMAGE, DNS_SERVICE_ADDRESS, HERE, KUBECONFIG, NODES
from .progress import run
from .volumes import PROVISIONER

_HOSTS = [f"{CONTROL_PLANE_ADDRESS} registry.lab files.lab", *(f"{node.address} {node.name}" for node in NODES)]


def kubectl(*arguments: str | Path, stdin: str | None = None) -> str:
    """Runs kubectl as the lab's admin and returns its standard output. Raises LabError with its standard error."""
    return run([tools.bin_dir() / "kubectl", f"--kubeconfig={KUBECONFIG}", *arguments], stdin=stdin)


def apply() -> None:
    """Creates the objects of CoreDNS and of the StorageClass. Raises LabError if any of them exists."""
    coredns = _manifest("coredns", image=COREDNS_IMAGE, address=DNS_SERVICE_ADDRESS, hosts="\n    ".join(_HOSTS))
    storage_class = _manifest("storage-class", provisioner=PROVISIONER)
    kubectl("create", "--filename=-", stdin=f"{coredns}\n---\n{storage_class}")


def _manifest(file: str, /, **values: str) -> str:
    return Template((HERE / f"manifests/{file}.yaml").read_text()).substitute(values)
