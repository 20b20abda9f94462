"""Collects old artifacts: deletes from the embedded registry what no revision names any more.

It deletes only what the compressor pushed under its own tags: indexes with its annotation, and checkpoints by their
type. Sources, data sets and everything else that users pushed are never touched. Deleted manifests free no bytes yet:
garbage collection in the registry's pod does that before the registry starts, so the registry is restarted, once a day
at most. Facts that must survive a restart of the operator are annotations of the registry's Deployment.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from edge_oci import (
    Descriptor,
    Host,
    InvalidContent,
    Manifest,
    OciError,
    Patience,
    Registries,
    RegistryNotFound,
    Repository,
    delete_manifest,
    get_manifest,
    list_repositories,
    list_tags,
)
from edge_operator.cluster import Cluster
from edge_operator.cluster_cache import ClusterCache
from edge_operator.decide.artifact.registry_gc import ImagesInUse, TaggedImage, may_free, sweep
from edge_operator.job_endpoints.registry_tokens import Signer, sign_for_operator
from edge_operator.settings import ProcessSettings
from edgemodel.names import (
    ANNOTATION_ARTIFACT,
    ANNOTATION_FREED,
    ANNOTATION_TO_FREE,
    CHECKPOINT_TYPE,
    checkpoint_epochs,
    is_artifact_tag,
)
from edgemodel.timestamp import parse_timestamp, timestamp

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0


class RegistryGarbageCollector:
    """The collector of old images in the embedded registry."""

    def __init__(
        self,
        cluster: Cluster,
        cache: ClusterCache,
        signer: Signer,
        config: ProcessSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._cache, self._clock = cluster, cache, clock
        self._namespace, self._deployment = config.namespace, config.registry_deployment
        self._registry = registry(config.decisions.registry_push, signer)
        self._seen: dict[TaggedImage, float | None] = {}

    async def collect(self) -> None:
        """Runs one sweep. Raises ApiError; if the registry does not answer, the next sweep tries again."""
        try:
            await self._delete_unused()
        except OciError as error:
            log.warning("old artifacts stay for now: %s", error)
        if self._deployment:
            await self._free()

    async def _delete_unused(self) -> None:
        tagged: list[TaggedImage] = []
        for name in await asyncio.to_thread(list_repositories, self._registry):
            tagged += await asyncio.to_thread(images_of, Repository(self._registry, name))
        swept = sweep(tagged, in_use(self._cache), self._seen, self._clock())
        self._seen = swept.seen
        if swept.doomed and self._deployment:
            await self._annotate({"metadata": {"annotations": {ANNOTATION_TO_FREE: "true"}}})
        for image, digests in swept.doomed.items():
            if image in in_use(self._cache):  # since the sweep began
                continue
            await asyncio.to_thread(delete, Repository(self._registry, image.repository), digests)
            del self._seen[image]
            log.info("deleted %s from the registry: no revision names it", image.reference)

    async def _free(self) -> None:
        """Restarts the registry if it holds bytes of deleted images.

        It does so by the Deployment, whose strategy Recreate ends the old pod before the new one collects garbage.
        """
        deployment = await self._cluster.get("apps/v1", "Deployment", self._deployment, self._namespace)
        if deployment is None or ANNOTATION_TO_FREE not in (deployment["metadata"].get("annotations") or {}):
            return
        freed = (deployment["spec"]["template"]["metadata"].get("annotations") or {}).get(ANNOTATION_FREED)
        now = datetime.now(UTC)
        if may_free(_time(freed), bool(self._cache.compressing()), now):
            log.info("restarting the registry, which frees what was deleted from it")
            template = {"metadata": {"annotations": {ANNOTATION_FREED: timestamp(now)}}}
            await self._annotate(
                {"metadata": {"annotations": {ANNOTATION_TO_FREE: None}}, "spec": {"template": template}}
            )

    async def _annotate(self, patch: dict[str, Any]) -> None:
        await self._cluster.merge("apps/v1", "Deployment", self._namespace, self._deployment, patch)


def _time(text: str | None) -> datetime | None:
    """Returns the time in an annotation; None if there is none, or somebody has written something else there."""
    try:
        return parse_timestamp(text) if text else None
    except ValueError:
        return None


def registry(host: str, signer: Signer) -> Host:
    """Returns the embedded registry with tokens that the operator, which is its realm, signs itself."""

    def sign(scope: str) -> str:
        return sign_for_operator(signer, scope, datetime.now(UTC))

    patience = Patience(tries=2)  # a waiting thread would delay the operator's shutdown; the next sweep is near
    registries = Registries(plain_http_hosts=(host,), patience=patience, read_timeout_seconds=ANSWER_SECONDS, sign=sign)
    return registries.host(host)


def images_of(repository: Repository) -> list[TaggedImage]:
    """Returns the compressor's images in ``repository``, and its checkpoints. Blocks. Raises OciError."""
    images = []
    for tag in list_tags(repository):
        if not is_artifact_tag(tag) and checkpoint_epochs(tag) is None:
            continue
        try:
            manifest = get_manifest(repository, tag)
            platforms = [Descriptor.from_json(entry).digest for entry in manifest.content.get("manifests") or ()]
        except (RegistryNotFound, InvalidContent):
            continue
        if _is_ours(manifest):
            images.append(TaggedImage(repository.name, manifest.descriptor.digest, tuple(platforms)))
    return images


def _is_ours(manifest: Manifest) -> bool:
    if manifest.is_index:
        return ANNOTATION_ARTIFACT in (manifest.content.get("annotations") or {})
    return manifest.content.get("artifactType") == CHECKPOINT_TYPE


def delete(repository: Repository, digests: tuple[str, ...]) -> None:
    """Deletes the manifests. It may be repeated. Blocks. Raises OciError."""
    for digest in digests:
        delete_manifest(repository, digest)


def in_use(cache: ClusterCache) -> ImagesInUse:
    """Returns what must not be deleted; for a model with an unreadable object that is every image."""
    references = {variant.image for _, revision in cache.all_revisions() for variant in revision.spec.variants}
    unreadable = {(namespace, model) for namespace, model in cache.unreadable_owners if model}
    repositories = frozenset(f"{namespace}/{model}" for namespace, model in cache.compressing() | unreadable)
    namespaces = frozenset(namespace for namespace, model in cache.unreadable_owners if not model)
    return ImagesInUse(frozenset(references), repositories, namespaces)
