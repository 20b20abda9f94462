"""The kopf edge: turns watch events into what the cache knows, and decides nothing.

Only ``on.event`` handlers: they keep no state on the objects and set no finalizer. Everything else that
kopf offers loses updates, adds finalizers or does not scale to an edge fleet.
"""

from typing import Any

import kopf

from edge_operator.cluster_cache import WATCHED, ClusterCache
from edge_operator.kinds import PLURALS
from edgemodel.names import LABEL_MODEL

WATCH_PAGE = 500
IDLE_SECONDS = 0.5


async def watch(cache: ClusterCache) -> None:
    """Feeds ``cache`` from watches until SIGTERM or SIGINT, whose handling kopf takes over. Raises what kopf raises."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    for api_version, kind, label in WATCHED:
        _watch_kind(registry, cache, api_version, kind, label)
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = WATCH_PAGE
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 30
    settings.queueing.idle_timeout = IDLE_SECONDS
    await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True)


def _watch_kind(registry: Any, cache: ClusterCache, api_version: str, kind: str, label: str) -> None:
    group, _, version = api_version.rpartition("/")
    labels = {LABEL_MODEL: kopf.PRESENT} if label else None

    async def handle(event: Any, **_: Any) -> None:
        raw = {"apiVersion": api_version, **event["object"], "kind": kind}
        if event["type"] == "DELETED":
            cache.forget(raw)
        else:
            cache.see(raw)

    plural = PLURALS[kind]
    kopf.on.event(group, version, plural, labels=labels, id=plural, registry=registry)(handle)


def _login(**kwargs: Any) -> Any:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
