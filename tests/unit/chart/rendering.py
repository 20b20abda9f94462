"""The chart, rendered by the real ``helm``."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.lab import tools
from tests.support import manifests

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "edgemodel"
RELEASE = "em"
NAMESPACE = "edgemodel-system"

Object = dict[str, Any]


class HelmError(Exception):
    """helm failed; the message is its standard error."""


def helm(*arguments: str | Path, stdin: str | None = None) -> str:
    """Returns the standard output of helm. Raises HelmError."""
    done = subprocess.run(
        [tools.bin_dir() / "helm", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HelmError(done.stderr)
    return done.stdout


def render(values: dict[str, Any] | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE) -> list[Object]:
    """Returns the chart's objects with ``values`` over its defaults. Raises HelmError if the schema refuses them."""
    text = helm("template", release, CHART, "--namespace", namespace, "--values", "-", stdin=json.dumps(values or {}))
    return [item for item in manifests.read_all(text) if item]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """Returns the object. Raises KeyError with the existing names."""
    for item in objects:
        if item["kind"] == kind and item["metadata"]["name"] == name:
            return item
    raise KeyError(f"no {kind}/{name}; there are {[(item['kind'], item['metadata']['name']) for item in objects]}")


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [item for item in objects if item["kind"] == kind]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yields (name, pod specification) of everything that creates pods."""
    for item in objects:
        template = item.get("spec", {}).get("template") if item["kind"] != "CustomResourceDefinition" else None
        if template:
            yield item["metadata"]["name"], template["spec"]


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(container: Object) -> dict[str, str]:
    """Returns the variables with a text, which is empty where the container names no value."""
    return {item["name"]: item.get("value", "") for item in container.get("env", []) if "valueFrom" not in item}


def rights(role: Object) -> dict[str, set[str]]:
    """Returns the verbs of a Role or ClusterRole by ``<group>/<resource>``."""
    found: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault(f"{group}/{resource}", set()).update(rule["verbs"])
    return found
