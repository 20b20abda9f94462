"""The pins and deferrals on nodes that no EdgeModel can have set.

If an object cannot be read, everything that it may have set is kept; a node that cannot be read keeps all that it has.
"""

from collections.abc import Iterator

from edge_operator.cluster_cache.known_state import KnownState
from edge_operator.cluster_cache.salvage import revisions_in_status, variants_in_spec
from edge_operator.cluster_cache.store import identity_of
from edge_operator.decide.observation import Applied, Revision
from edge_operator.decide.placement.possible_pins import PinNames, all_labels
from edgemodel.names import DEFAULT_VARIANT


def stray_labels(known: KnownState) -> dict[str, frozenset[str]]:
    """Returns the labels by node, without nodes that have none."""
    valid = all_labels(_pin_names(known)) | _pins_of_unreadable_owners(known)
    strays = {
        node.name: (node.pins | node.deferrals) - valid
        for node in known.nodes
        if ("Node", "", node.name) not in known.unreadable
    }
    return {name: labels for name, labels in strays.items() if labels}


def _pin_names(known: KnownState) -> Iterator[PinNames]:
    """Yields the names for every EdgeModel's pins; an unreadable one may have set pins of the names that it seems to
    have."""
    for key in {*known.store.kind("EdgeModel"), *known.unreadable.owners}:
        model, revisions = known.model(key), known.store.owned(key, Revision)
        names = set(model.status.revisions) if model is not None else set()
        variants = {variant.name for variant in model.spec.variants} if model is not None else set()
        for item in known.unreadable.owned(key):
            kind, _, name = identity_of(item.raw)
            names |= revisions_in_status(item.raw.get("status"))
            names |= {name} if kind == "EdgeModelRevision" else set()
            variants |= {DEFAULT_VARIANT} | variants_in_spec(item.raw)
        yield PinNames.of(*key, revisions, names, variants)


def _pins_of_unreadable_owners(known: KnownState) -> frozenset[str]:
    """Returns the pins that DaemonSets select whose EdgeModel has an unreadable object."""
    owned = (applied for key in known.unreadable.owners for applied in known.store.owned(key, Applied))
    return frozenset(pin for applied in owned for pin in applied.pins)
