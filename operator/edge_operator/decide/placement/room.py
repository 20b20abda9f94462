"""The check that the nodes have the memory that servers request, before any of them switches.

What other pods of a node request is not known here, so a node that could not hold the servers even alone is found, and
the scheduler finds the others.
"""

from dataclasses import dataclass

from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.placement.selection import Placed
from edge_operator.decide.resources import (
    amount,
    job_resources,
    least_server_bytes,
    memory_limit,
    requested_memory,
    server_resources,
    work_limit,
)
from edgemodel.names import DEFAULT_VARIANT, pin_key
from edgemodel.revision import RevisionVariant
from edgemodel.serving import MAPPED

MAX_NAMED = 3
"""The largest number of nodes in a message."""


@dataclass(frozen=True)
class Lacking:
    """A node that cannot hold what it would run."""

    node: str
    has_bytes: int
    needs_bytes: int
    besides: bool
    """True if that is the server of stable as well, as ``Surge`` has it."""

    def __str__(self) -> str:
        both = " with stable beside it" if self.besides else ""
        return f"{self.node} has {_megabytes(self.has_bytes)}, needs {_megabytes(self.needs_bytes)}{both}"


def nodes_without_room(
    observation: Observation, target: Revision, stable: Revision | None, placed: tuple[Placed, ...]
) -> list[Lacking]:
    """Returns the available nodes without the memory for ``target``, and with ``Surge`` for ``stable`` beside it."""
    own, of_stable, pins = _requests(observation, target), dict[str, int](), frozenset[str]()
    if stable is not None and target.spec.serving.strategy == "Surge":
        of_stable = _requests(observation, stable)
        pins = frozenset(pin_key(observation.namespace, observation.name, stable.name, name) for name in of_stable)
    found = []
    for item in placed:
        has = item.node.memory_bytes
        if has is None or not item.is_available:
            continue
        needs = own.get(item.variant, own[DEFAULT_VARIANT])
        beside = of_stable.get(item.variant, of_stable[DEFAULT_VARIANT]) if pins & item.node.pins else 0
        if needs + beside > has:
            found.append(Lacking(item.node.name, has, needs + beside, besides=needs <= has))
    return found


def told(lacking: list[Lacking]) -> str:
    """Returns the nodes with both numbers of each, for a message."""
    more = f"; and {len(lacking) - MAX_NAMED} more" if len(lacking) > MAX_NAMED else ""
    return f"{'; '.join(map(str, lacking[:MAX_NAMED]))}{more}"


def no_room_for_job(observation: Observation, source_bytes: int) -> str:
    """Returns that no node can hold a compression Job for a source of that size, with both numbers; empty if one can,
    or a node does not say what it has."""
    wanted = job_resources(observation.spec, observation.settings.default_resources, source_bytes)
    memory, disk = requested_memory(wanted), int(amount(work_limit(source_bytes)))
    nodes = [node for node in observation.nodes if node.online and not node.cordoned]
    if not nodes or any(node.memory_bytes is None or node.disk_bytes is None for node in nodes):
        return ""
    if any((node.memory_bytes or 0) >= memory and (node.disk_bytes or 0) >= disk for node in nodes):
        return ""
    most = max(nodes, key=lambda node: node.memory_bytes or 0)
    return (
        f"a compression Job for a source of {_megabytes(source_bytes)} needs {_megabytes(memory)} of memory and "
        f"{_megabytes(disk)} of disk, and no node has both; the largest, {most.name}, has "
        f"{_megabytes(most.memory_bytes or 0)} and {_megabytes(most.disk_bytes or 0)}: add a node, or lower "
        "spec.compression.resources.requests.memory"
    )


def limit_shortage(observation: Observation, target: Revision) -> str:
    """Returns which variant of a model that generates text has a memory limit below what its server needs; empty if
    none has. Such a server would end before it loads anything."""
    for variant in target.spec.variants:
        if variant.artifact.generator is None:
            continue
        needs = least_server_bytes(variant.artifact, target.spec.serving)
        limit = memory_limit(_resources(observation, target, variant))
        if limit < needs:
            held = "cache and server" if target.spec.serving.weights == MAPPED else "weights, cache and server"
            return (
                f"variant {variant.name} needs {_megabytes(needs)} for {held}, and its memory limit "
                f"is {_megabytes(limit)}: raise spec.serving.resources.limits.memory, or lower "
                "spec.serving.generate.sequences or contextTokens"
            )
    return ""


def context_excess(target: Revision) -> str:
    """Returns which variant allows fewer tokens than ``spec.serving.generate.contextTokens``; empty if none does."""
    generate = target.spec.serving.generate
    asked = generate.context_tokens if generate is not None else None
    for variant in target.spec.variants:
        facts = variant.artifact.generator
        if asked is not None and facts is not None and asked > facts.context_tokens:
            return (
                f"spec.serving.generate.contextTokens is {asked}, and the model of variant {variant.name} allows "
                f"{facts.context_tokens}: lower it"
            )
    return ""


def _requests(observation: Observation, revision: Revision) -> dict[str, int]:
    """Returns the memory that a server requests, by variant."""
    return {
        variant.name: requested_memory(_resources(observation, revision, variant)) for variant in revision.spec.variants
    }


def _resources(observation: Observation, revision: Revision, variant: RevisionVariant) -> dict[str, dict[str, str]]:
    return server_resources(variant, revision.spec.serving, observation.settings.default_resources)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
