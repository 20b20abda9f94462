"""Wrong values of the chart: Helm refuses them and names the value, or renders objects that the API server takes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator

from tests.support import tiers
from tests.support.bad_input_runs import Tries, share
from tests.unit.chart.rendering import HelmError, containers, pods, render
from tests.unit.chart.test_values import DEFAULTS, SCHEMA

Path = tuple[str, ...]

WRONG: Final = (
    *(None, True, 0, -1, 1.5, 70_000, 2**63, "", " ", "text", "a b", "A/B:c:d", "ä", "{{ .Values }}", "x" * 300),
    *('"', "'", "- a", "a: b", "#", "10Zi", "-5Mi", [], [None], [""], [{}], {}, {"a": None}, {"": "x"}, {"a": [1]}),
)
QUANTITY: Final = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")
NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
OF_THE_TEMPLATE_ENGINE: Final = re.compile(
    r"nil pointer|reflect|interface conversion|runtime error|panic|can't evaluate|wrong type|error converting YAML"
)
"""The words of Helm for a fault that neither the schema nor a ``fail`` has foreseen."""


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yields the paths of all values, maps included."""
    if path:
        yield path
    for key, below in value.items() if isinstance(value, dict) else ():
        yield from places(below, (*path, key))


def wrong_values() -> Iterator[tuple[Path, Any]]:
    for path in places(DEFAULTS):
        for value in WRONG:
            yield path, value


def at(path: Path, value: Any) -> dict[str, Any]:
    """Returns values with nothing but ``value`` at ``path``."""
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def property_schema(path: Path) -> Mapping[str, Any]:
    """Returns the part of the schema for the value at ``path``, with its definitions."""
    part: Mapping[str, Any] = SCHEMA
    for key in path:
        part = part["properties"][key] if key in part.get("properties", {}) else part["additionalProperties"]
        if "$ref" in part:
            part = SCHEMA["definitions"][part["$ref"].rsplit("/", 1)[1]]
    return {**part, "definitions": SCHEMA["definitions"]}


def passes(path: Path, value: Any) -> bool:
    """Returns whether the schema takes ``value`` at ``path``. A null takes the default away, and so it is missing."""
    if value is None:
        above = property_schema(path[:-1])
        return path[-1] not in above.get("required", ())
    return Draft7Validator(property_schema(path)).is_valid(value)


def faults(objects: list[dict[str, Any]]) -> list[str]:
    """Returns what the API server would refuse in rendered objects, or no kubelet could run."""
    found = [f"no name: {item}" for item in objects if not (item.get("metadata") or {}).get("name")]
    for name, pod in pods(objects):
        for container in containers(pod):
            resources = container.get("resources") or {}
            quantities = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
            found += [f"{name}: {key}: {one!r}" for key, one in quantities.items() if not QUANTITY.fullmatch(str(one))]
            image = str(container.get("image"))
            found += [f"{name}: image {image!r}"] * (not re.fullmatch(r"\S+[:@]\S+", image))
            found += [f"{name}: {one}" for one in container.get("env", []) if not isinstance(one.get("value", ""), str)]
            ports = (one["containerPort"] for one in container.get("ports", []))
            found += [f"{name}: port {port}" for port in ports if not 0 < port < 65_536]
        for volume in pod.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "a")
            found += [f"{name}: claim {claim!r}"] * (not NAME.fullmatch(claim))
        priority = pod.get("priorityClassName", "a")
        found += [f"{name}: priority class {priority!r}"] * (not NAME.fullmatch(priority))
    return found


def rendered(values: dict[str, Any], names: tuple[str, ...]) -> int:
    """Renders the chart; 3 if Helm refuses the values and names one of them, 1 for any other fault."""
    try:
        objects = render(values)
    except HelmError as error:
        print(error)
        return 1 if OF_THE_TEMPLATE_ENGINE.search(str(error)) or not any(name in str(error) for name in names) else 3
    for fault in (found := faults(objects)):
        print(fault)
    return 1 if found else 0


def test_the_schema_answers_for_each_wrong_value() -> None:
    """Helm applies the same schema; here it is asked without Helm, which takes a hundred times as long."""
    tries = Tries("chart: values, by the schema", (0, 3))
    for path, value in share(wrong_values()):

        def refused(path: Path = path, value: Any = value) -> int:
            if passes(path, value):
                return 0
            print(f"{'.'.join(path)}: refused")
            return 3

        tries.call(f"{'.'.join(path)}={value!r}"[:80], refused)
    for path in places(DEFAULTS):
        if path[-1] in ("cpu", "memory", "size"):
            assert not any(passes(path, word) for word in ("text", "10Zi", "-5Mi", " ", "", "a b", -1)), path
        if path[-1] in ("priorityClassName", "storageClassName", "existingClaim") or path[-2:] == ("secretRef", "name"):
            assert not any(passes(path, word) for word in ("a b", "A/B", "ä", "'", "- a", "x" * 300)), path
    tries.judge(3000)


@pytest.mark.lab_programs
def test_refusals_of_helm_name_the_value() -> None:
    tries = Tries("chart: values that Helm refuses", (3,))
    given = [(path, value) for path, value in wrong_values() if not passes(path, value)]
    for path, value in given[:: len(given) // (3 if tiers.is_quick() else 15)]:
        tries.call(f"{'.'.join(path)}={value!r}"[:80], lambda p=path, v=value: rendered(at(p, v), p))  # type: ignore[misc]
    tries.judge(15)


def together() -> Iterator[dict[Path, Any]]:
    """Yields accepted values of places of which none is within another."""
    paths = list(places(DEFAULTS))
    inner = [path for path in paths if not any(len(one) > len(path) and one[: len(path)] == path for one in paths)]
    outer = [[path for path in paths if path not in inner and len(path) == depth] for depth in (1, 2, 3)]
    for value in WRONG:
        for some in (inner, *outer):
            if values := {path: value for path in some if passes(path, value)}:
                yield values


def united(values: Mapping[Path, Any]) -> dict[str, Any]:
    """Returns the values of several places as one tree."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        parent = tree
        for key in path[:-1]:
            parent = parent.setdefault(key, {})
        parent[path[-1]] = value
    return tree


@pytest.mark.lab_programs
@pytest.mark.slow
def test_accepted_values_render_to_sound_objects() -> None:
    """Values of different places go into one rendering; those of a rendering that fails are tried one by one."""
    tries = Tries("chart: values that the schema takes", (0, 3))
    for values in share(together()):
        if rendered(united(values), ()) == 0:
            tries.count += len(values)
            continue
        for path, value in values.items():
            tries.call(f"{'.'.join(path)}={value!r}"[:80], lambda p=path, v=value: rendered(at(p, v), p))  # type: ignore[misc]
    tries.judge(100, some_are_refused=False)
