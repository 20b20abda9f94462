"""The order in which nodes switch."""

import hashlib

from tests.support.simulation import Simulation


def canaries(revisions: str) -> list[str]:
    """Returns the node that is first sent each of these revisions."""
    found = []
    for letter in revisions:
        world = Simulation.with_nodes(5)
        world.new_source(letter)
        world.run(30)
        (canary,) = (node for node in world.nodes if world.nodes[node].pins)
        found.append(canary)
    return found


def test_the_first_node_is_that_of_the_least_hash_of_node_model_and_revision() -> None:
    world = Simulation.with_nodes(5)
    world.run(30)
    (canary,) = (name for name, node in world.nodes.items() if node.pins)
    hashes = {
        name: hashlib.sha256(f"{node.uid}/uid-m/{world.target()}".encode()).hexdigest()
        for name, node in world.nodes.items()
    }
    assert canary == min(hashes, key=lambda name: hashes[name])


def test_the_order_is_the_same_in_every_try_and_another_in_every_revision() -> None:
    first = canaries("abcdef")
    assert first == canaries("abcdef")
    assert len(set(first)) > 2
