"""The known state of the cluster, in one place: ``cache.py`` writes it, the others read it."""

from collections.abc import Mapping

from edge_operator.cluster_cache.clocks import Clocks
from edge_operator.cluster_cache.host_ports import HostPorts
from edge_operator.cluster_cache.store import Key, ObjectStore
from edge_operator.cluster_cache.unreadable import UnreadableObjects
from edge_operator.decide.measurement import Samples
from edge_operator.decide.observation import Node, OperatorSettings, Refusal
from edge_operator.from_api import CachedEdgeModel
from edgemodel.progress import StepBegun


class KnownState:
    """The objects and times from which observations are made."""

    def __init__(self, settings: OperatorSettings, clocks: Clocks) -> None:
        self.settings = settings
        self.store = ObjectStore()
        self.unreadable = UnreadableObjects()
        self.clocks = clocks
        self.host_ports = HostPorts()
        self.samples: dict[Key, Samples] = {}
        """The last answer of Prometheus, by EdgeModel."""
        self.refusals: dict[Key, Mapping[tuple[str, str], Refusal]] = {}
        """The last refusal of each object without a pod, by EdgeModel and (kind, name)."""
        self.steps: dict[Key, StepBegun] = {}
        """The last step that a compression Job began, by (namespace, pod)."""
        self._nodes: tuple[Node, ...] | None = None

    def model(self, key: Key) -> CachedEdgeModel | None:
        """Returns the EdgeModel as it was last readable; None if it never was, or is gone."""
        stored = self.store.get(("EdgeModel", *key))
        model: CachedEdgeModel | None = stored.value if stored is not None else None
        return model

    @property
    def models(self) -> dict[Key, CachedEdgeModel]:
        """Returns every EdgeModel that was readable at least once."""
        stored = self.store.kind("EdgeModel")
        return {key: item.value for key, item in stored.items() if item.value is not None}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Returns every node that was readable at least once; the same value until a node changes."""
        if self._nodes is None:
            stored = self.store.kind("Node").values()
            self._nodes = tuple(item.value for item in stored if item.value is not None)
        return self._nodes

    def nodes_changed(self) -> None:
        """Makes ``nodes`` read the store again, after a node was stored or removed."""
        self._nodes = None
