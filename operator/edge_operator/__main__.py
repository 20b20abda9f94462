"""The command ``python3 -m edge_operator``, which takes the lease, lists what it watches, and works until it gets a
signal."""

import asyncio
import contextlib
import logging
import signal
import sys

from edge_operator import endpoints, job_endpoints, logs, settings
from edge_operator.analysis_runner import AnalysisRunner
from edge_operator.cluster import ApiError, Cluster
from edge_operator.cluster.lease import Leadership, LeaseLost
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.handlers import watch
from edge_operator.job_endpoints.registry_tokens import Signer
from edge_operator.metrics import Metrics
from edge_operator.prometheus import Prometheus
from edge_operator.reconcile import Reconciler, every, patiently
from edge_operator.refusal_reader import RefusalReader
from edge_operator.registry_gc import RegistryGarbageCollector
from edge_operator.settings import ProcessSettings
from edge_operator.work_queue import WorkQueue
from edgemodel.errors import EdgeModelError, Stalled
from edgemodel.status import NodeCounts
from edgemodel.version import VERSION

log = logging.getLogger("edge_operator")

WORKERS = 4
RELIST_SECONDS = 300
SWEEP_SECONDS = 30
COLLECT_SECONDS = 600


async def run(config: ProcessSettings) -> None:
    """Runs until it is cancelled. Raises LeaseLost, or the error that ended a part of the operator."""
    queue: WorkQueue[Key] = WorkQueue()
    cache = ClusterCache(config.decisions, queue.add)
    metrics = Metrics()
    metrics.tell_images(config.images)
    metrics.queue_depth.set_function(lambda: len(queue))
    metrics.watch_nodes(
        lambda: ((m.namespace, m.name, m.status.nodes or NodeCounts(not_ready=())) for m in cache.models.values())
    )
    metrics.watch_unreadable(lambda: cache.unreadable)
    synced = asyncio.Event()
    async with await Cluster.connect() as cluster, Prometheus(config.prometheus) as prometheus:
        leadership = Leadership(cluster, config.namespace, config.identity, cache.api_is_back)
        reconciler = Reconciler(cluster, cache, queue, metrics, leadership.leads, config.reasons_url)
        app = endpoints.application(cache, metrics, live=lambda: not reconciler.stuck(), ready=synced.is_set)
        runners = [await endpoints.serve(app, config.http_port)]
        metrics.watch_requests(cluster.requests)
        signer = await patiently(lambda: _signer(cluster, config))
        realm = job_endpoints.application(cluster, signer, cache.set_progress)
        runners.append(await endpoints.serve(realm, config.token_port))
        await patiently(leadership.acquire)
        await patiently(reconciler.relist)
        log.info("synced: %d EdgeModels, %d nodes", len(cache.models), len(cache.nodes))
        synced.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_watch(cache), name="watch")
                tasks.create_task(leadership.keep(), name="lease")
                tasks.create_task(every(RELIST_SECONDS, reconciler.relist), name="relist")
                tasks.create_task(AnalysisRunner(cache, prometheus, metrics).run(), name="measure")
                tasks.create_task(RefusalReader(cluster, cache).run(), name="refusals")
                tasks.create_task(every(SWEEP_SECONDS, reconciler.sweep_pins), name="sweep")
                if signer is not None:
                    collector = RegistryGarbageCollector(cluster, cache, signer, config)
                    tasks.create_task(every(COLLECT_SECONDS, collector.collect), name="collect")
                for number in range(WORKERS):
                    tasks.create_task(reconciler.work(), name=f"worker-{number}")
        finally:
            with contextlib.suppress(ApiError):
                await leadership.release()
            for runner in runners:
                await runner.cleanup()


class _StopRequested(Exception):
    """A signal to stop came: kopf handles SIGTERM and SIGINT, and returns when one arrives."""


async def _watch(cache: ClusterCache) -> None:
    await watch(cache)
    raise _StopRequested


async def _signer(cluster: Cluster, config: ProcessSettings) -> Signer | None:
    """Returns the signer of tokens for the embedded registry, or None where there is no such registry."""
    if not config.decisions.registry_embedded:
        return None
    return await job_endpoints.make_signer(cluster, config.namespace)


async def _main(config: ProcessSettings) -> int:
    return_code = 0
    task = asyncio.ensure_future(run(config))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except* (asyncio.CancelledError, _StopRequested):
        log.info("a signal ends the operator")
    except* LeaseLost as lost:
        log.error("%s", lost.exceptions[0])
        return_code = 1
    except* EdgeModelError as failed:
        log.error("%s", failed.exceptions[0])
        return_code = Stalled.exit_code
    return return_code


def main() -> int:
    """Runs the operator until a signal ends it and returns the exit code; 1 if another process took the lease, that of
    the error for invalid settings."""
    try:
        config = settings.from_environment()
    except EdgeModelError as error:
        print(f"edge_operator: {error}", file=sys.stderr)
        return error.exit_code
    logs.configure(config.json_logs)
    images = ", ".join(f"{program} {image}" for program, image in config.images.items())
    log.info("version %s; images: %s", VERSION, images)
    return asyncio.run(_main(config))


if __name__ == "__main__":
    sys.exit(main())
