"""The tolerations of the spec, which its pods get unchanged."""

from dataclasses import dataclass
from typing import Any

from edgemodel.plain import from_api


@dataclass(frozen=True)
class Toleration:
    """A toleration in Kubernetes' form; None for members that are left out."""

    key: str | None = None
    operator: str | None = None
    """``Equal``, the default, or ``Exists``."""
    value: str | None = None
    effect: str | None = None
    """``NoSchedule``, ``PreferNoSchedule`` or ``NoExecute``; None or empty for all of them."""
    toleration_seconds: int | None = None


def parse_toleration(value: Any) -> Toleration:
    """Returns the toleration, with the default of its operator. Raises ValueError, which names the member, for one
    that the schema refuses."""
    given = {"operator": "Equal", **value} if isinstance(value, dict) else value
    return from_api(Toleration, given, "spec.placement.tolerations")
