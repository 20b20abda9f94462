"""The images that the embedded registry need not keep, and when it may free their bytes.

Mark and sweep: marked is what a revision names, and every image of a model whose compression Job runs, which may have
pushed what no revision names yet. What stays unmarked for GRACE_SECONDS goes. A checkpoint is an image that no revision
ever names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

GRACE_SECONDS = 3600
"""Between the end of a Job and the record of its revision lies one pass; an hour is many.

It is longer than any pause between the attempts of a Job, so that the next one finds the checkpoints of the one before.
"""
FREE_EVERY = timedelta(days=1)
"""Freeing bytes restarts the registry: for some seconds nobody pulls or pushes."""


@dataclass(frozen=True)
class TaggedImage:
    """An index that the compressor pushed, and the manifests that it names, one a platform; a checkpoint has none."""

    repository: str
    digest: str
    platforms: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The name that a revision uses."""
        return f"{self.repository}@{self.digest}"

    @property
    def manifests(self) -> tuple[str, ...]:
        """Digests in the order in which they are deleted: the index, by which they are all found, is the last."""
        return (*self.platforms, self.digest)


@dataclass(frozen=True)
class ImagesInUse:
    references: frozenset[str] = frozenset()
    """``<repository>@sha256:…`` of every revision."""
    repositories: frozenset[str] = frozenset()
    """The repositories of models whose compression Job runs, or of which something cannot be read."""
    namespaces: frozenset[str] = frozenset()
    """The namespaces with an object that cannot be read and names no model."""

    def __contains__(self, image: TaggedImage) -> bool:
        return (
            image.reference in self.references
            or image.repository in self.repositories
            or image.repository.partition("/")[0] in self.namespaces
        )


Seen = Mapping[TaggedImage, float | None]
"""Since when an image is not in use; None while it is. In seconds of a clock that nobody sets."""


@dataclass(frozen=True)
class Sweep:
    """``doomed``: each image with the digests to delete, in order. ``seen``: for the next sweep."""

    doomed: dict[TaggedImage, tuple[str, ...]]
    seen: dict[TaggedImage, float | None]


def sweep(tagged: Iterable[TaggedImage], in_use: ImagesInUse, seen: Seen, now: float) -> Sweep:
    """Returns what to delete of the images that are ``tagged`` now or were ``seen`` before.

    An image that was seen once stays known: another may take its tag, and then no list shows it any more. A manifest
    that an image in use shares with a doomed one stays.
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
    """Tells whether the registry may restart, whose garbage collection frees the bytes of what was deleted.

    Not while a Job runs: the bytes of a push that is under way belong to no manifest yet. A ``last`` that lies ahead
    is a clock that was set back.
    """
    return not jobs_run and (last is None or abs(now - last) >= FREE_EVERY)
