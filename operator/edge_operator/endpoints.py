"""The HTTP endpoints of the operator: probes, metrics, and the scrape targets for Prometheus."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge_operator.cluster_cache import ClusterCache
from edge_operator.metrics import Metrics
from edgemodel.metrics import IDENTITY_LABELS
from edgemodel.names import PULLER_PREFIX


def application(
    cache: ClusterCache, metrics: Metrics, live: Callable[[], bool], ready: Callable[[], bool]
) -> web.Application:
    """Returns the application of ``/livez``, ``/readyz``, ``/metrics`` and ``/targets``; probes fail while ``live`` or
    ``ready`` returns False."""

    async def livez(_: web.Request) -> web.Response:
        return _answer(live())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def targets(_: web.Request) -> web.Response:
        return web.json_response(scrape_targets(cache))

    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", scrape),
            web.get("/targets", targets),
        ]
    )
    return app


def scrape_targets(cache: ClusterCache) -> list[dict[str, object]]:
    """Returns every server pod that has an address, in Prometheus' ``http_sd`` format.

    The labels are facts of the cluster and replace those that the pod itself exports, because a verdict must not rest
    on what a program claims to be.
    """
    return [
        {
            "targets": [f"{host_of(pod.ip)}:{revision.spec.serving.port}"],
            "labels": {
                "job": "edgemodel-servers",
                "pod": pod.name,
                **dict(zip(IDENTITY_LABELS, (*key, pod.revision, pod.variant, pod.node), strict=True)),
            },
        }
        for key in cache.models
        for revisions in ({revision.name: revision for revision in cache.revisions(key)},)
        for pod in cache.pods(key)
        if (revision := revisions.get(pod.revision)) is not None
        if pod.ip and not pod.terminating and not pod.variant.startswith(PULLER_PREFIX)
    ]


def host_of(ip: str) -> str:
    """Returns ``ip`` as it stands before a port: an IPv6 address in brackets."""
    return f"[{ip}]" if ":" in ip else ip


def _answer(good: bool) -> web.Response:
    return web.Response(status=200 if good else 503, text="ok\n" if good else "not yet\n")


async def serve(app: web.Application, port: int) -> web.AppRunner:
    """Starts serving on all addresses and returns the runner, whose ``cleanup`` the caller must await."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
