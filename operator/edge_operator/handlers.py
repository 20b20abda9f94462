"""The only importer of kopf: passes watch events to the cache, and decides nothing.

It has only ``on.event`` handlers, which keep no state on the objects and set no finalizer. Everything else that kopf
offers loses updates, adds finalizers or does not scale to an edge fleet.
"""

from typing import Any

import kopf

from edge_operator.cluster_cache import WATCHED, ClusterCache, WatchedKind
from edge_operator.kinds import plural

WATCH_PAGE = 500
IDLE_SECONDS = 0.5


async def watch(cache: ClusterCache) -> None:
    """Feeds ``cache`` from watches until SIGTERM or SIGINT, whose handling kopf takes over. Raises what kopf raises."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    for kind in WATCHED:
        _watch_kind(registry, cache, kind)
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = WATCH_PAGE
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 30
    settings.queueing.idle_timeout = IDLE_SECONDS
    await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True)


def _watch_kind(registry: Any, cache: ClusterCache, watched: WatchedKind) -> None:
    group, _, version = watched.api_version.rpartition("/")
    labels = {watched.label: kopf.PRESENT} if watched.label else None

    async def handle(event: Any, **_: Any) -> None:
        raw = {"apiVersion": watched.api_version, **event["object"], "kind": watched.kind}
        if event["type"] == "DELETED":
            cache.forget(raw)
        else:
            cache.see(raw)

    name = plural(watched.kind)
    kopf.on.event(group, version, name, labels=labels, id=name, registry=registry)(handle)


def _login(**kwargs: Any) -> Any:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
