"""The nodes that an EdgeModel selects, the variant that each gets, and the order in which they switch."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from edge_operator.decide.observation import Node, Observation
from edge_operator.decide.placement.set_aside import SetAside, why_set_aside
from edgemodel import reasons
from edgemodel.spec import Variant

MAX_NAMED = 5
"""The largest number of nodes in a message."""


@dataclass(frozen=True)
class Placed:
    """A selected node and the variant that it runs."""

    node: Node
    variant: str
    set_aside: str = ""
    """The reason why no pod of the spec can be created there, from ``why_set_aside``; empty if one can."""

    @property
    def is_available(self) -> bool:
        """Returns whether the node can take a pod now: it is online and not set aside."""
        return self.node.online and not self.set_aside


@dataclass(frozen=True)
class Placement:
    """The selected nodes, divided by whether an image for them exists."""

    placed: tuple[Placed, ...]
    """The placed nodes, in the order of ``switch_order`` for the target revision."""
    unsupported: tuple[Node, ...]
    """The selected nodes for whose architecture there is no image."""


def place(observation: Observation, target: str) -> Placement:
    """Returns the nodes that ``spec.placement`` selects, with those without an image set aside."""
    spec = observation.spec
    selected = [node for node in observation.nodes if matches(spec.node_selector, node.labels)]
    architectures = observation.settings.supported_architectures
    supported = [node for node in selected if node.architecture in architectures]
    ordered = sorted(supported, key=lambda node: switch_order(node.uid, observation.uid, target))
    return Placement(
        placed=tuple(
            Placed(node, variant_of(node, spec.variants), why_set_aside(node, spec.tolerations)) for node in ordered
        ),
        unsupported=tuple(node for node in selected if node.architecture not in architectures),
    )


def nobody_takes(revision: str, placed: Iterable[Placed], podless: Iterable[SetAside] = ()) -> tuple[str, str]:
    """Returns the (reason, message) of a revision that no node can take.

    ``podless`` are nodes for which no pod was created in time.
    """
    barred = (SetAside(item.node.name, item.set_aside) for item in placed if item.node.online and item.set_aside)
    names = sorted(str(item) for item in (*barred, *podless))
    if not names:
        return reasons.NODES_OFFLINE, f"no node is online to take {revision}"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return reasons.NODES_SET_ASIDE, f"no node can take {revision}; set aside: {', '.join(names[:MAX_NAMED])}{more}"


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Returns whether ``labels`` have every key of ``selector`` with its value; an empty selector matches all."""
    return all(labels.get(key) == value for key, value in selector.items())


def variant_of(node: Node, variants: tuple[Variant, ...]) -> str:
    """Returns the name of the first variant that matches; the last one, the default, matches every node."""
    return next(variant.name for variant in variants if matches(variant.node_selector, node.labels))


def switch_order(node_uid: str, model_uid: str, revision: str) -> str:
    """Returns a sort key that is repeatable within one revision and different for the next, so that the first node
    varies."""
    return hashlib.sha256(f"{node_uid}/{model_uid}/{revision}".encode()).hexdigest()
