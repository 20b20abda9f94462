"""Manifests with one mistake each, derived from a good one, for two validators that have to agree about all of them."""

import copy
from collections.abc import Iterator
from typing import Any, Final

VALUES: Final[tuple[Any, ...]] = (None, "", "x", 0, -1, 5, 1.5, 5.0, True, [], {}, "1", "a\n", [None], {"a": None})
"""The values that replace each field in turn; most have another type, or are out of range."""

Path = tuple[str | int, ...]


def mutated(value: Any) -> Iterator[tuple[str, Any]]:
    """Yields (the change, the complete value) for each field of ``value``: with other values, without it, misspelt."""
    for path in paths(value):
        name = ".".join(map(str, path))
        for other in VALUES:
            whole, last = copy.deepcopy(value), path[-1]
            owner = _at(whole, path[:-1])
            owner[last] = copy.deepcopy(other)
            yield f"{name} = {other!r}", whole
        whole = copy.deepcopy(value)
        del _at(whole, path[:-1])[path[-1]]
        yield f"without {name}", whole
        if isinstance(path[-1], str):
            whole = copy.deepcopy(value)
            owner = _at(whole, path[:-1])
            owner[f"{path[-1]}s"] = owner.pop(path[-1])
            yield f"{name} misspelt", whole


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """Yields the path of each field and each item, without ``value`` itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*above, key)
        yield from paths(below, (*above, key))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value
