"""The images that the embedded registry need not keep, and when it may free their bytes.

Mark and sweep: an image is marked if a revision names it, or if a compression Job of its model runs, which may have
pushed images that no revision names yet. Images that stay unmarked for GRACE_SECONDS are deleted. A checkpoint is an
image that no revision ever names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

GRACE_SECONDS = 3600
"""The time between the end of a Job and the deletion of unmarked images. The record of its revision takes only one
pass.

It is longer than any pause between the attempts of a Job, so that the next one finds the checkpoints of the one before.
"""
FREE_EVERY = timedelta(days=1)
"""The shortest time between two restarts of the registry, which free bytes: for some seconds nobody can pull or
push."""


@dataclass(frozen=True)
class TaggedImage:
    """An index that the compressor pushed, with the manifests that it names, one per platform; a checkpoint has
    none."""

    repository: str
    digest: str
    platforms: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The reference that a revision has for the image."""
        return f"{self.repository}@{self.digest}"

    @property
    def manifests(self) -> tuple[str, ...]:
        """The digests in the order of their deletion: the index, by which the others are found, is the last."""
        return (*self.platforms, self.digest)


@dataclass(frozen=True)
class ImagesInUse:
    """The images that must not be deleted."""

    references: frozenset[str] = frozenset()
    """The references ``<repository>@sha256:…`` of all revisions."""
    repositories: frozenset[str] = frozenset()
    """The repositories of models with a running compression Job or an unreadable object."""
    namespaces: frozenset[str] = frozenset()
    """The namespaces with an unreadable object that names no model."""

    def __contains__(self, image: TaggedImage) -> bool:
        return (
            image.reference in self.references
            or image.repository in self.repositories
            or image.repository.partition("/")[0] in self.namespaces
        )


Seen = Mapping[TaggedImage, float | None]
"""The time since which an image is not in use, in seconds of a monotonic clock; None while it is in use."""


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep. ``doomed`` has each image with the digests to delete, in order; ``seen`` is for the next
    sweep."""

    doomed: dict[TaggedImage, tuple[str, ...]]
    seen: dict[TaggedImage, float | None]


def sweep(tagged: Iterable[TaggedImage], in_use: ImagesInUse, seen: Seen, now: float) -> Sweep:
    """Returns what to delete of the images that are ``tagged`` now or were ``seen`` before.

    An image that was seen once stays known: if another takes its tag, no list shows it any more. A manifest that an
    image in use shares with a doomed one stays.
    """
    since: dict[TaggedImage, float | None] = {}
    for image in (*tagged, *seen):
        earlier = seen.get(image)
        since[image] = None if image in in_use else now if earlier is None else earlier
    doomed = [image for image, start in since.items() if start is not None and now - start >= GRACE_SECONDS]
    kept = {(image.repository, digest) for image in since.keys() - set(doomed) for digest in image.manifests}
    return Sweep(
        {image: tuple(d for d in image.manifests if (image.repository, d) not in kept) for image in doomed}, since
    )


def may_free(last: datetime | None, jobs_run: bool, now: datetime) -> bool:
    """Returns whether the registry may restart, which garbage-collects the bytes of deleted images.

    It may not while a Job runs: the bytes of a push in progress belong to no manifest yet. A ``last`` in the future
    means that the clock was set back.
    """
    return not jobs_run and (last is None or abs(now - last) >= FREE_EVERY)
