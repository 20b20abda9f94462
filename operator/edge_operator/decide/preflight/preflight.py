"""The preflight: before the first wave, a Job measures the candidate on one node of each hardware class.

The Job measures, and this module judges. A result that concerns the artifact rejects it: too few golden items agree, or
it is too slow, killed for memory, past its deadline, crashes or cannot be pulled. Anything else leaves the class
unverified, which is reported and holds nothing up: no such node is online, none has room, or the node went away.

The classes, and the node of each, are recorded before the first Job starts, and then stay.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from edge_operator.decide.actions import Action, DeleteJob, RecordPreflight, StartPreflight
from edge_operator.decide.formats import MAX_MESSAGE_LENGTH, timestamp
from edge_operator.decide.observation import Node, Observation, PreflightJob, Revision
from edge_operator.decide.placement.host_ports import host_port_rivals
from edge_operator.decide.placement.selection import Placed, Placement, matches
from edgemodel import reasons
from edgemodel import spec as words
from edgemodel.names import preflight_job_prefix
from edgemodel.preflight_report import Incompatible, Measurement
from edgemodel.verdict import Verdict

MAX_CLASSES = 20
MAX_ATTEMPTS = 3
"""The number of attempts of a Job that ends without a report (a node that restarts, a crash)."""
RETRY_FIRST = timedelta(seconds=10)
TO_BEGIN = timedelta(seconds=60)
"""The time that a Job may take beyond its deadline, which the kubelet counts from the pod's start on the node."""
MAX_NAMED = 5

Entry = dict[str, Any]
"""An entry of ``status.preflight.classes``; it has no verdict while its Job runs."""


@dataclass(frozen=True)
class Preflight:
    """The result of a pass. If ``done``, the first wave may begin; otherwise ``reason`` and ``message`` say what it
    waits for."""

    status: dict[str, Any] | None = None
    """The contents of ``status.preflight``."""
    done: bool = True
    reason: str = ""
    message: str = ""
    rejection: tuple[str, str] | None = None
    """The (reason, message) of a rejection: the candidate must not run on any node."""
    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None

    def rejected(self, revision: str) -> bool:
        """Returns whether the preflight kept ``revision`` from every node."""
        return _failed(self.status) is not None and self.status is not None and self.status["revision"] == revision

    @property
    def unverified(self) -> str:
        """Returns the classes without a measurement, with the reasons; empty if there are none."""
        status = self.status or {"classes": []}
        missing = [item for item in status["classes"] if item.get("verdict") == Verdict.INCONCLUSIVE]
        texts = [f"{item['name']}: {item['message']}" for item in missing[:MAX_NAMED]]
        more = len(missing) - len(texts) + status.get("omitted", 0)
        return "; ".join([*texts, *([f"and {more} more"] if more else [])])


@dataclass(frozen=True)
class _Class:
    """The state of one class after this pass."""

    entry: Entry
    actions: tuple[Action, ...] = ()
    job: str = ""
    """The name of the Job that runs."""
    wake_at: datetime | None = None
    waits_for: str = ""


def decide_preflight(
    observation: Observation, target: str, placement: Placement, settled: Collection[str | None], now: datetime
) -> Preflight:
    """Returns the decision about the preflight. ``settled`` are revisions whose rollout has ended, stable or
    rejected."""
    revision = observation.revision(target)
    if revision is None:
        before = observation.remembered.preflight
        return Preflight(before if _is_over(before) else None, actions=_stop(observation))
    known, on_trial = _known(observation, revision), observation.remembered.candidate == target
    if observation.spec.preflight is None or target in settled or on_trial:
        known = known if _is_over(known) else None
        return Preflight(known, actions=(*_stop(observation), *_record(revision, known)))
    if not placement.placed or observation.service_name_conflict or host_port_rivals(observation):
        return Preflight(known, actions=_stop(observation))
    if known is None:
        if observation.spec.rollout.paused:
            message = f"spec.rollout.paused: {target} has not passed preflight, and goes to no node"
            return Preflight(None, False, reasons.PAUSED, message, actions=_stop(observation))
        if not any(placed.node.online for placed in placement.placed):
            message = f"no node is online to take {target}"
            return Preflight(None, False, reasons.NODES_OFFLINE, message, actions=_stop(observation))
        known = _plan(observation.spec.preflight, placement, revision)
    return _go_on(observation, observation.spec.preflight, revision, known, now)


# --- which classes, and which node for each ---


def _plan(spec: words.PreflightSpec, placement: Placement, revision: Revision) -> dict[str, Any]:
    """Returns the classes to measure; if there are more than MAX_CLASSES, those with the most nodes."""
    classes: dict[str, list[Placed]] = {}
    for placed in placement.placed:
        classes.setdefault(class_name(placed, spec.hardware_class_labels), []).append(placed)
    sizes = Counter({name: len(members) for name, members in classes.items()})
    names = sorted(classes, key=lambda name: (-sizes[name], name))
    entries = [_entry(name, classes[name], spec) for name in names[:MAX_CLASSES]]
    omitted = len(names) - len(entries)
    return {"revision": revision.name, "classes": entries, **({"omitted": omitted} if omitted else {})}


def class_name(placed: Placed, labels: tuple[str, ...]) -> str:
    """Returns ``<variant>/<architecture>`` and the values of ``labels``; ``-`` for a label that the node lacks."""
    values = (placed.node.labels.get(label) or "-" for label in labels)
    return "/".join((placed.variant, placed.node.architecture, *values))


def _entry(name: str, members: list[Placed], spec: words.PreflightSpec) -> Entry:
    """Returns the entry for the first eligible node that is online, in the order in which nodes would switch."""
    entry = {"name": name, "variant": members[0].variant, "architecture": members[0].node.architecture}
    asked = [placed.node for placed in members if matches(spec.node_selector, placed.node.labels)]
    online = [node for node in asked if node.online]
    if online:
        return {**entry, "node": online[0].name}
    selector = ",".join(f"{key}={value}" for key, value in sorted(spec.node_selector.items()))
    if not asked:
        return _unverified(entry, f"preflight.nodeSelector {selector} selects none of its nodes ({len(members)})")
    return _unverified(entry, f"of its nodes with {selector} ({len(asked)}) none is online")


# --- their Jobs ---


def _go_on(
    observation: Observation, spec: words.PreflightSpec, revision: Revision, known: dict[str, Any], now: datetime
) -> Preflight:
    classes = [_look(observation, spec, revision, entry, now) for entry in known["classes"]]
    status = {**known, "classes": [item.entry for item in classes]}
    failed = _failed(status)
    if failed is not None:
        rejection = failed["reason"], failed["message"]
        return Preflight(status, rejection=rejection, actions=(*_stop(observation), *_record(revision, status)))
    pending = [item for item in classes if "verdict" not in item.entry]
    actions = (
        *(action for item in classes for action in item.actions),
        *_stop(observation, {item.job for item in classes}),
        *_record(revision, status),
    )
    if not pending:
        return Preflight(status, actions=actions)
    wakes = [item.wake_at for item in pending if item.wake_at is not None]
    reason, message = _waits(observation, revision, pending)
    return Preflight(status, False, reason, message, actions=actions, wake_at=min(wakes, default=None))


def _waits(observation: Observation, revision: Revision, pending: list[_Class]) -> tuple[str, str]:
    where = ", ".join(f"{item.entry['node']} ({item.entry['name']})" for item in pending[:MAX_NAMED])
    more = f" and {len(pending) - MAX_NAMED} more" if len(pending) > MAX_NAMED else ""
    if observation.spec.rollout.paused and not any(item.job for item in pending):
        return reasons.PAUSED, f"spec.rollout.paused: {revision.name} does not run preflight on {where}{more}"
    waits = next((f"; {item.job}: its pod waits: {item.waits_for}" for item in pending if item.waits_for), "")
    return reasons.PREFLIGHT_RUNNING, f"before its first wave {revision.name} runs preflight on {where}{more}{waits}"


def _look(
    observation: Observation, spec: words.PreflightSpec, revision: Revision, entry: Entry, now: datetime
) -> _Class:
    """Returns the state of one class, from its Job."""
    if "goldenItems" in entry:
        return _Class(_judged(entry, spec))
    if "verdict" in entry:
        return _Class(entry)
    prefix = preflight_job_prefix(revision.name, entry["name"], entry["node"])
    jobs = [job for job in observation.preflights if job.name.startswith(prefix) and not job.deleting]
    job = max(jobs, key=lambda job: job.attempt, default=None)
    if job is None:
        return _start(observation, spec, revision, entry, 1)
    if job.ended is None:
        return _while_it_runs(observation, spec, entry, job, now)
    if isinstance(job.report, Measurement):
        return _Class(_judged(_measured(entry, job.report, job.ended), spec))
    if isinstance(job.report, Incompatible):
        return _Class(_fail(entry, job.report.reason, job.report.message))
    if job.trouble is not None:
        return _Class(_fail(entry, *job.trouble))
    at = job.ended + RETRY_FIRST * 2 ** (job.attempt - 1)
    if now < at:
        # What its pod said may come later than the end of the Job.
        return _Class(entry, wake_at=at)
    if job.attempt < MAX_ATTEMPTS:
        return _start(observation, spec, revision, entry, job.attempt + 1)
    return _Class(_given_up(entry, job))


def _start(
    observation: Observation, spec: words.PreflightSpec, revision: Revision, entry: Entry, attempt: int
) -> _Class:
    node = _node(observation, entry)
    if node is None or not node.online:
        return _Class(_unverified(entry, f"node {entry['node']} went offline before it was asked"))
    if observation.spec.rollout.paused:
        return _Class(entry)
    name = f"{preflight_job_prefix(revision.name, entry['name'], entry['node'])}{attempt}"
    start = StartPreflight(name, attempt, revision, entry["variant"], entry["node"], spec.deadline)
    return _Class(entry, (start,), name)


def _while_it_runs(
    observation: Observation, spec: words.PreflightSpec, entry: Entry, job: PreflightJob, now: datetime
) -> _Class:
    overdue = job.created + spec.deadline + TO_BEGIN
    if now < overdue:
        return _Class(entry, job=job.name, wake_at=overdue, waits_for=job.waits_for)
    node = _node(observation, entry)
    why = job.waits_for or ("it is offline" if node is None or not node.online else "its pod does not end")
    limit = f"{spec.deadline.total_seconds():.0f} s (preflight.deadlineSeconds)"
    return _Class(_unverified(entry, f"node {entry['node']} did not answer within {limit}: {why}"))


def _given_up(entry: Entry, job: PreflightJob) -> Entry:
    if job.crashed:
        tells = f"its log tells: kubectl logs job/{job.name}"
        text = f"the preflight ended {job.attempt} times without a report ({job.crashed}); {tells}"
        return _fail(entry, reasons.PREFLIGHT_FAILED, text)
    return _unverified(entry, f"node {entry['node']} ended the Job {job.attempt} times without a report")


def _stop(observation: Observation, but: Collection[str] = ()) -> tuple[Action, ...]:
    """Returns the deletions of running Jobs; finished ones stay for their logs."""
    running = [job for job in observation.preflights if job.ended is None and not job.deleting]
    return tuple(DeleteJob(job.name) for job in running if job.name not in but)


# --- what it came to ---


def _measured(entry: Entry, report: Measurement, ended: datetime) -> Entry:
    agreement, latency = report.agreement, report.latency
    hardware = {
        **({"cpu": report.cpu} if report.cpu else {}),
        **({"instructionSets": list(report.instruction_sets)} if report.instruction_sets else {}),
        **({"placed": list(report.placed)} if report.placed else {}),
        "measuredAt": timestamp(ended),
    }
    if agreement is None or latency is None:
        return _unverified({**entry, **hardware}, "the artifact has no golden set to be asked with; it can be loaded")
    return {
        **entry,
        "goldenItems": agreement.items,
        "goldenAgree": agreement.agree,
        "minPercent": agreement.min_percent,
        "p50Milliseconds": latency.p50_milliseconds,
        "p95Milliseconds": latency.p95_milliseconds,
        "runs": latency.runs,
        **hardware,
    }


def _judged(entry: Entry, spec: words.PreflightSpec) -> Entry:
    """Returns the entry with its verdict by the present limits, which may change while other classes are still
    measured."""
    if "goldenItems" not in entry:
        return entry
    agree, items, least = entry["goldenAgree"], entry["goldenItems"], entry["minPercent"]
    agreement = f"golden set agrees on {100 * agree / items:.6g} %, limit {least} % (n = {items})"
    limit, p50, runs = spec.max_latency_milliseconds, entry["p50Milliseconds"], entry["runs"]
    latency = f"p50 {p50} ms, {f'limit {limit} ms' if limit else 'no limit'} (n = {runs})"
    failed = [agreement] if 100 * agree < Decimal(least) * items else []
    failed += [latency] if limit is not None and Decimal(p50) > Decimal(limit) else []
    if failed:
        return _fail(entry, reasons.PREFLIGHT_FAILED, "; ".join(failed))
    message = f"{agreement}; {latency}"
    return {
        **{key: value for key, value in entry.items() if key != "reason"},
        "verdict": Verdict.PASS.value,
        "message": message,
    }


def _fail(entry: Entry, reason: str, why: str) -> Entry:
    message = f"node {entry['node']} ({entry['name']}): {why}"[:MAX_MESSAGE_LENGTH]
    return {**entry, "verdict": Verdict.FAIL.value, "reason": reason, "message": message}


def _unverified(entry: Entry, why: str) -> Entry:
    verdict = Verdict.INCONCLUSIVE.value
    return {**entry, "verdict": verdict, "reason": reasons.LATENCY_UNVERIFIED, "message": why[:MAX_MESSAGE_LENGTH]}


def _failed(status: dict[str, Any] | None) -> Entry | None:
    classes = status["classes"] if status is not None else ()
    return next((item for item in classes if item.get("verdict") == Verdict.FAIL), None)


def _is_over(status: dict[str, Any] | None) -> bool:
    if status is None:
        return False
    return _failed(status) is not None or all("verdict" in item for item in status["classes"])


def _known(observation: Observation, revision: Revision) -> dict[str, Any] | None:
    """Returns the plan or result of an earlier pass; a candidate that comes back is not measured again."""
    before = observation.remembered.preflight
    if before is not None and before["revision"] == revision.name:
        return before
    return {"revision": revision.name, **revision.preflight} if revision.preflight else None


def _record(revision: Revision, status: dict[str, Any] | None) -> tuple[Action, ...]:
    """Returns the action that records the result, unless it is recorded."""
    if status is None or revision.preflight is not None or not _is_over(status):
        return ()
    return (RecordPreflight(revision.name, {key: value for key, value in status.items() if key != "revision"}),)


def _node(observation: Observation, entry: Entry) -> Node | None:
    return next((node for node in observation.nodes if node.name == entry["node"]), None)
