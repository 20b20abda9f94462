"""The changes of a client-side merge of three: the manifest, what was applied last, what the API server stores.

Tools of GitOps and ``kubectl apply`` compare so: maps are merged by key, so that defaults beside what was given do not
matter; lists of the API's own objects are merged by a key of their items, and every other list is one value, so that a
default within one of its items is a difference for ever.
"""

from typing import Any

MERGE_KEYS = {
    ("Deployment", "containers"): "name",
    ("Deployment", "initContainers"): "name",
    ("Deployment", "env"): "name",
    ("Deployment", "ports"): "containerPort",
    ("Deployment", "volumeMounts"): "mountPath",
    ("Deployment", "volumes"): "name",
    ("Deployment", "imagePullSecrets"): "name",
    ("Service", "ports"): "port",
    ("ServiceAccount", "imagePullSecrets"): "name",
}
"""The lists whose items are merged, as (kind, field), and the key by which."""


def differences(manifest: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """Returns a line for each value of ``manifest``, which was applied before, that the merge would write again."""
    return list(_differences(manifest["kind"], "$", manifest, stored, None))


def _differences(kind: str, path: str, wanted: Any, stored: Any, key: str | None) -> list[str]:
    if isinstance(wanted, dict) and isinstance(stored, dict):
        return [
            line
            for name, value in wanted.items()
            if not _is_nothing(value, name in stored)
            for line in _differences(kind, f"{path}.{name}", value, stored.get(name), MERGE_KEYS.get((kind, name)))
        ]
    if key is not None and isinstance(wanted, list) and isinstance(stored, list):
        items = {item[key]: item for item in stored}
        return [
            line
            for item in wanted
            for line in _differences(kind, f"{path}[{item[key]}]", item, items.get(item[key]), None)
        ]
    return [] if wanted == stored else [f"{path}: {wanted!r} is stored as {stored!r}"]


def _is_nothing(value: Any, is_stored: bool) -> bool:
    """Returns whether a manifest has null, or an empty map or list, where nothing is stored, which no merge writes."""
    return not is_stored and value in (None, {}, [])
