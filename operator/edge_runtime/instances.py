"""Several instances of one model, for a runtime whose models run in one thread at a time."""

from collections.abc import Mapping, Sequence
from queue import SimpleQueue

from edge_runtime.backend import LoadedModel
from edge_runtime.datatypes import Array


class InstancePool(LoadedModel):
    """A pool that lends an instance to each run; a run waits while none is free. It is safe to use from several
    threads."""

    concurrent = True

    def __init__(self, instances: Sequence[LoadedModel]) -> None:
        """Takes at least one instance, all loaded from the same file."""
        first = instances[0]
        self.platform, self.signature, self.placed = first.platform, first.signature, first.placed
        self._instances = tuple(instances)
        self._free: SimpleQueue[LoadedModel] = SimpleQueue()
        for instance in instances:
            self._free.put(instance)

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Raises RefusedInputs, RunFailure."""
        instance = self._free.get()
        try:
            return instance.run(feeds, outputs)
        finally:
            self._free.put(instance)

    def close(self) -> None:
        """Frees all instances."""
        for instance in self._instances:
            instance.close()
