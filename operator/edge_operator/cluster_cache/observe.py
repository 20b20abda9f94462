"""The observation of one EdgeModel, made from the known state."""

from collections.abc import Mapping
from dataclasses import replace

from edge_operator.cluster_cache.known_state import KnownState
from edge_operator.cluster_cache.salvage import stored_status, whole_conditions
from edge_operator.cluster_cache.store import Key
from edge_operator.cluster_cache.unreadable import Unreadable
from edge_operator.decide.observation import (
    Applied,
    CompressionJob,
    HostPortClaim,
    Observation,
    Pod,
    PreflightJob,
    Refusal,
    Revision,
)
from edge_operator.decide.status.suspension import SuspendedModel
from edge_operator.from_api import (
    CachedEdgeModel,
    ForeignService,
    JobObject,
    JobPod,
    compression_job,
    preflight_job,
)


def observe(known: KnownState, key: Key) -> Observation | SuspendedModel | None:
    """Returns the observation of an EdgeModel; None if it is gone or being deleted."""
    model, unreadable = known.model(key), known.unreadable.owned(key)
    if unreadable:
        return _suspended(known, key, unreadable)
    if model is None or model.deleting:
        return None
    store, clocks = known.store, known.clocks
    jobs, preflights = _jobs(known, key)
    refusals = known.refusals.get(key, {})
    return Observation(
        namespace=model.namespace,
        name=model.name,
        uid=model.uid,
        generation=model.generation,
        created=model.created,
        spec=model.spec,
        status=model.status,
        stored_status=model.stored_status,
        settings=known.settings,
        revisions=tuple(store.owned(key, Revision)),
        jobs=jobs,
        preflights=preflights,
        pods=tuple(_explained(pod, refusals) for pod in store.owned(key, Pod)),
        nodes=known.nodes,
        applied=tuple(store.owned(key, Applied)),
        host_port_claims=_claims(known, model),
        service_name_conflict=bool(store.owned(key, ForeignService)),
        pods_lost=dict(clocks.pods_lost(key)),
        pins_seen=clocks.pins_seen,
        back_since=clocks.back_since,
        opened_since=clocks.opened_since,
        startable_since=clocks.startable_since(key),
        api_back_since=clocks.api_back_since,
        refusals=refusals,
        samples=known.samples.get(key),
    )


def _suspended(known: KnownState, key: Key, unreadable: tuple[Unreadable, ...]) -> SuspendedModel | None:
    """Returns the suspension of an EdgeModel; None if the EdgeModel does not exist."""
    told = tuple(item.told for item in unreadable)
    own, model = known.unreadable.get(("EdgeModel", *key)), known.model(key)
    if own is not None:
        meta = own.raw["metadata"]
        if "deletionTimestamp" in meta:
            return None
        conditions, stored = whole_conditions(own.raw), stored_status(own.raw)
        return SuspendedModel(*key, meta["uid"], meta.get("generation", 0), conditions, stored, told)
    if model is None or model.deleting:
        return None
    return SuspendedModel(*key, model.uid, model.generation, model.status.conditions, model.stored_status, told)


def _explained(pod: Pod, refusals: Mapping[tuple[str, str], Refusal]) -> Pod:
    """Returns the pod with the message of an Event about its trouble, which precedes that of its status."""
    refusal = refusals.get(("Pod", pod.name))
    if refusal is not None and refusal.keeps_from_starting and pod.creating:
        return replace(pod, trouble=(refusal.reason, refusal.message))
    if refusal is None or pod.trouble is None:
        return pod
    reason, message = pod.trouble
    return replace(pod, trouble=(reason, f"{refusal.message}; {message}"))


def _claims(known: KnownState, model: CachedEdgeModel) -> tuple[HostPortClaim, ...]:
    """Returns the claims of other EdgeModels to the host port that ``model`` wants."""
    port = model.spec.serving.host_port
    if port is None:
        return ()
    others = (known.model(key) for key in known.host_ports.wanted_by(port))
    return tuple(
        HostPortClaim(other.namespace, other.name, other.uid, other.created, other.spec.node_selector)
        for other in others
        if other is not None and other.uid != model.uid
    )


def _jobs(known: KnownState, key: Key) -> tuple[tuple[CompressionJob, ...], tuple[PreflightJob, ...]]:
    """Returns the Jobs of an EdgeModel, each with its newest pod."""
    newest: dict[str, JobPod] = {}
    for pod in known.store.owned(key, JobPod):
        earlier = newest.get(pod.job_uid)
        if earlier is None or pod.created > earlier.created:
            newest[pod.job_uid] = pod
    compressions, preflights = [], []
    for job in known.store.owned(key, JobObject):
        its = newest.get(job.uid)
        if job.is_preflight:
            preflights.append(preflight_job(job, its))
        else:
            step = known.steps.get((key[0], its.name)) if its is not None else None
            compressions.append(compression_job(job, its, step))
    return tuple(compressions), tuple(preflights)
