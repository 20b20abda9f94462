"""The EdgeModels that want a port of their nodes, by port."""

from collections import defaultdict
from collections.abc import Iterable

from edge_operator.cluster_cache.store import Key
from edge_operator.from_api import CachedEdgeModel


class HostPorts:
    """An index of EdgeModels by ``spec.serving.hostPort``."""

    def __init__(self) -> None:
        self._wanted: defaultdict[int, set[Key]] = defaultdict(set)

    def change(self, key: Key, before: CachedEdgeModel | None, after: CachedEdgeModel | None) -> set[Key]:
        """Notes the change of an EdgeModel. Returns the EdgeModels that want the same port, before or after."""
        rivals: set[Key] = set()
        port_before, port_after = _host_port(before), _host_port(after)
        if port_before is not None:
            rivals |= self._wanted[port_before]
            self._wanted[port_before].discard(key)
        if port_after is not None:
            rivals |= self._wanted[port_after]
            self._wanted[port_after].add(key)
        return rivals

    def wanted_by(self, port: int) -> Iterable[Key]:
        """Returns the EdgeModels that want ``port``, in the order of their names."""
        return sorted(self._wanted.get(port, ()))


def _host_port(model: CachedEdgeModel | None) -> int | None:
    return model.spec.serving.host_port if model is not None else None
