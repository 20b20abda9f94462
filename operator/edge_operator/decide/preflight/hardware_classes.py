"""The hardware classes that a preflight measures, and the node of each."""

from collections.abc import Mapping

from edge_operator.decide.observation import Revision
from edge_operator.decide.placement.selection import MAX_NAMED, Placed, Placement, matches
from edge_operator.decide.placement.set_aside import SetAside
from edge_operator.decide.preflight.outcome import unverified
from edgemodel.spec import PreflightSpec
from edgemodel.status import ClassPreflight, PreflightStatus

MAX_CLASSES = 20


def plan_classes(spec: PreflightSpec, placement: Placement, revision: Revision) -> PreflightStatus:
    """Returns the classes of the placed nodes, not measured yet; those with the most nodes if there are more than
    MAX_CLASSES."""
    classes: dict[str, list[Placed]] = {}
    for placed in placement.placed:
        classes.setdefault(class_name(placed, spec.hardware_class_labels), []).append(placed)
    names = sorted(classes, key=lambda name: (-len(classes[name]), name))
    planned = tuple(_plan(name, classes[name], spec) for name in names[:MAX_CLASSES])
    omitted = len(names) - len(planned)
    return PreflightStatus(planned, omitted or None, revision=revision.name)


def class_name(placed: Placed, labels: tuple[str, ...]) -> str:
    """Returns ``<variant>/<architecture>`` and the values of ``labels``, ``-`` for a node without one."""
    values = (placed.node.labels.get(label) or "-" for label in labels)
    return "/".join((placed.variant, placed.node.architecture, *values))


def _plan(name: str, members: list[Placed], spec: PreflightSpec) -> ClassPreflight:
    """Returns the class with its first node, in the order of their switches, that is available and eligible."""
    first = members[0]
    eligible = [placed for placed in members if matches(spec.node_selector, placed.node.labels)]
    node = next((placed.node.name for placed in eligible if placed.is_available), None)
    planned = ClassPreflight(name, first.variant, first.node.architecture, node=node)
    if node is not None:
        return planned
    selector = _selector(spec.node_selector)
    if not eligible:
        return unverified(planned, f"preflight.nodeSelector {selector} selects none of its nodes ({len(members)})")
    barred = [str(SetAside(item.node.name, item.set_aside)) for item in eligible if item.set_aside]
    besides = f" and not set aside: {', '.join(barred[:MAX_NAMED])}" if barred else ""
    return unverified(planned, f"of its nodes with {selector} ({len(eligible)}) none is online{besides}")


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
