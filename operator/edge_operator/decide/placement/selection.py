"""The nodes that an EdgeModel selects, the variant that each gets, and the order in which they switch."""

import hashlib
from dataclasses import dataclass

from edge_operator.decide.observation import Node, Observation
from edgemodel.spec import Variant


@dataclass(frozen=True)
class Placed:
    """A selected node and the variant that it runs."""

    node: Node
    variant: str


@dataclass(frozen=True)
class Placement:
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
        placed=tuple(Placed(node, variant_of(node, spec.variants)) for node in ordered),
        unsupported=tuple(node for node in selected if node.architecture not in architectures),
    )


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def variant_of(node: Node, variants: tuple[Variant, ...]) -> str:
    """Returns the name of the first variant that matches; the last one, the default, matches every node."""
    return next(variant.name for variant in variants if matches(variant.node_selector, node.labels))


def switch_order(node_uid: str, model_uid: str, revision: str) -> str:
    """Returns a sort key that is repeatable within one revision and different for the next, so that the first node
    varies."""
    return hashlib.sha256(f"{node_uid}/{model_uid}/{revision}".encode()).hexdigest()
