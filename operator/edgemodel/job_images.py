"""The images that compression Jobs run, each with other libraries.

A source format names the image that it needs. The chart gives the reference of each to the operator, in the environment
variable ``JobImage.variable``; ``charts/images/catalogue.py`` builds them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ARCHITECTURES: Final = ("amd64", "arm64")
"""The architectures that the project builds images for."""


@dataclass(frozen=True)
class JobImage:
    """An image of compression Jobs, with what it holds."""

    name: str
    includes: tuple[str, ...] = ()
    """The names of the images whose libraries it has too."""
    architectures: tuple[str, ...] = ARCHITECTURES
    """The architectures that it is built for."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """The resources of its container in a Job, unless the EdgeModel sets others."""

    @property
    def variable(self) -> str:
        """The environment variable by which the operator gets its reference."""
        return f"EDGEMODEL_{self.name.upper()}_IMAGE"

    def has(self, name: str) -> bool:
        """Returns True if it has the libraries of the image ``name``."""
        return name == self.name or name in self.includes


COMPRESSOR: Final = JobImage(
    "compressor",
    resources={"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "4", "memory": "2Gi"}},
)
TRAINER: Final = JobImage(
    "trainer",
    includes=("compressor",),
    architectures=("amd64",),
    resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "8", "memory": "4Gi"}},
)
"""The compressor with torch."""

JOB_IMAGES: Final[Mapping[str, JobImage]] = {image.name: image for image in (COMPRESSOR, TRAINER)}
"""Name -> image; those with fewer libraries come first."""


def image_for(names: Iterable[str]) -> JobImage:
    """Returns the first image with the libraries of all images ``names``. Raises ValueError if there is none."""
    wanted = set(names)
    for image in JOB_IMAGES.values():
        if all(image.has(name) for name in wanted):
            return image
    raise ValueError(f"no image has the libraries of {', '.join(sorted(wanted))}")
