"""The networks: one namespace per machine of the lab, and one more that is the switch between them.

No namespace has a route out: programs of the lab reach only the lab.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from .layout import CONTROL_PLANE_ADDRESS, CONTROL_PLANE_NAMESPACE, NODES, SWITCH_NAMESPACE, Node
from .progress import LabError, run

_NAMESPACES = (SWITCH_NAMESPACE, CONTROL_PLANE_NAMESPACE, *(node.namespace for node in NODES))
_CONTROL_PLANE_PORT = "control-plane"  # ports of the switch are named after what they lead to


def make() -> None:
    """Makes all namespaces, connects each to the switch, and sets the routes to nodes and their pods."""
    for namespace in _NAMESPACES:
        run(["ip", "netns", "add", namespace])
        _ip(namespace, "link set lo up")
    _ip(SWITCH_NAMESPACE, "link add switch type bridge")
    _ip(SWITCH_NAMESPACE, "link set switch up")
    _plug(CONTROL_PLANE_NAMESPACE, _CONTROL_PLANE_PORT, CONTROL_PLANE_ADDRESS)
    for node in NODES:
        _plug(node.namespace, node.name, node.address)
    for here in (CONTROL_PLANE_NAMESPACE, *(node.namespace for node in NODES)):
        for there in NODES:
            if there.namespace != here:
                _ip(here, f"route replace {there.pod_range} via {there.address}")
    for node in NODES:
        _ip(node.namespace, f"route replace default via {CONTROL_PLANE_ADDRESS}")


def remove() -> None:
    """Deletes the namespaces that exist, with all links and routes in them."""
    for namespace in present():
        run(["ip", "netns", "delete", namespace])


def present() -> list[str]:
    """Returns the names of those of the lab's namespaces that exist."""
    return [name for name in _NAMESPACES if Path("/run/netns", name).exists()]


def cut(node: Node) -> None:
    """Takes down the switch's port to the node."""
    _ip(SWITCH_NAMESPACE, f"link set {node.name} down")


def join(node: Node) -> None:
    """Brings up the switch's port to the node."""
    _ip(SWITCH_NAMESPACE, f"link set {node.name} up")


def is_cut(node: Node) -> bool:
    """Returns whether the switch's port to the node is down; True if it does not exist."""
    with suppress(LabError):
        (link,) = json.loads(run(["ip", "-n", SWITCH_NAMESPACE, "-json", "link", "show", node.name]))
        return "UP" not in link["flags"]
    return True


def enter(namespace: str) -> list[str]:
    """Returns the beginning of a command line that runs in the namespace. (``ip netns exec`` would hide
    /sys/fs/cgroup.)"""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


def _plug(namespace: str, port: str, address: str) -> None:
    _ip(SWITCH_NAMESPACE, f"link add {port} type veth peer name eth0 netns {namespace}")
    _ip(SWITCH_NAMESPACE, f"link set {port} master switch up")
    _ip(namespace, f"addr add {address}/24 dev eth0")
    _ip(namespace, "link set eth0 up")
    run([*enter(namespace), "sysctl", "-qw", "net.ipv4.ip_forward=1"])


def _ip(namespace: str, command: str) -> None:
    run(["ip", "-n", namespace, *command.split()])
