"""The image pull secrets of the spec, which its pods get besides those of the chart."""

from dataclasses import dataclass
from typing import Any

from edgemodel.plain import from_api


@dataclass(frozen=True)
class PullSecret:
    """A reference to a Secret of type kubernetes.io/dockerconfigjson in the EdgeModel's namespace."""

    name: str


def parse_pull_secret(value: Any) -> PullSecret:
    """Returns the reference. Raises ValueError, which names the member, for one that the schema refuses."""
    return from_api(PullSecret, value, "spec.imagePullSecrets")
