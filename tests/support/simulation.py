"""A cluster in memory for tests of decisions: actions take effect at once, and time moves when told.

Only what decisions can see is simulated: pins make pods, pods become ready after ``start_seconds`` unless the test says
that a revision is in trouble, offline nodes change nothing. Ready pods of online nodes answer ``requests_per_second``,
and Prometheus knows at once, unless the test says that it is down.
"""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, ParamSpec, Self, TypeVar, assert_never

from edge_operator.decide import Decision, decide
from edge_operator.decide.actions import (
    Action,
    DeleteDaemonSet,
    DeleteJob,
    DeleteRevision,
    EnsureDaemonSet,
    EnsureNetworkPolicies,
    EnsureReplaySecret,
    EnsureService,
    RecordPreflight,
    RecordRevision,
    RecordVerdict,
    SetPins,
    StartJob,
    StartPreflight,
)
from edge_operator.decide.analysis.golden_set import GoldenCount
from edge_operator.decide.artifact.target import target_name
from edge_operator.decide.measurement import Baseline, Counts, Samples
from edge_operator.decide.observation import (
    Applied,
    CompressionJob,
    HostPortClaim,
    Node,
    Observation,
    OperatorSettings,
    Pod,
    PreflightJob,
    Refusal,
    Revision,
    Taint,
)
from edge_operator.decide.placement.cells import FormCells, form_cells
from edge_operator.decide.placement.set_aside import tolerates
from edge_operator.writes import (
    ApplyObject,
    CreateObject,
    CreateReplaySecret,
    DeleteObject,
    PatchNode,
    TellEvent,
    Write,
    WriteRevisionStatus,
    WriteStatus,
    plan_writes,
)
from edgemodel import reasons
from edgemodel.caller_signature import CallerSignature
from edgemodel.names import DEFERRAL_PREFIX, PULLER_PREFIX, daemonset_name, pin_key, puller_of
from edgemodel.preflight_report import GoldenAgreement, Incompatible, LatencyPercentiles, Measurement
from edgemodel.report import ArtifactReport, Failed, Published
from edgemodel.spec import EdgeModelSpec, parse_spec
from edgemodel.status import EdgeModelStatus, parse_status
from tests.support.verdicts import counted, golden_samples, with_warm_up

SETTINGS = OperatorSettings(
    server_image="registry.example/server@sha256:" + "0" * 64,
    job_images={
        "compressor": "registry.example/compressor@sha256:" + "1" * 64,
        "trainer": "registry.example/trainer@sha256:" + "2" * 64,
    },
    registry_push="registry:5000",
    registry_pull="localhost:30500",
)
P = ParamSpec("P")
W = TypeVar("W", bound="Simulation")
DIGEST = "sha256:" + "a" * 64
CONVERTER_DIGEST = "sha256:" + "f" * 64
"""The digest of a user's converter's output."""


def model_spec(**changes: Any) -> dict[str, Any]:
    """Returns a spec that the schema would accept; ``changes`` replace its top-level fields."""
    return {
        "source": {"uri": f"oci://registry.example/models/m@{DIGEST}", "format": "ONNX"},
        "compression": {"steps": []},
        "placement": {"nodeSelector": {"edge": "camera"}},
        "rollout": {
            "waves": [{"name": "canary", "nodes": 1}, {"name": "all", "percent": 100}],
            "soakSeconds": 30,
            "bakeSeconds": 60,
            "nodeReadyTimeoutSeconds": 120,
        },
        **changes,
    }


def artifact_report(variant: str, image: str = f"vision/m@{DIGEST}") -> ArtifactReport:
    """Returns the report of an artifact that passed its gate."""
    return ArtifactReport(
        variant=variant,
        image=image,
        digest=DIGEST,
        size_bytes=100,
        transfer_bytes=60,
        source_size_bytes=400,
        accuracy="0.9100",
        source_accuracy="0.9150",
        sample_count=2000,
        latency_milliseconds="1.0",
        source_latency_milliseconds="2.0",
    )


def measured(agree: int = 64, p50: str = "1.000", p95: str = "2.000") -> Measurement:
    """Returns a preflight Job's report for an artifact with 64 golden items, of which 61 have to agree."""
    latency = LatencyPercentiles(p50, p95, 500)
    return Measurement(GoldenAgreement(agree, 64, "95"), latency, "Cortex-A72", ("asimd",), ("CPUExecutionProvider",))


def built_once(build: Callable[P, W]) -> Callable[P, W]:
    """Makes ``build`` run once for the same arguments, and returns a copy of the result to each caller."""
    worlds: dict[str, W] = {}

    @functools.wraps(build)
    def copied(*arguments: P.args, **named: P.kwargs) -> W:
        key = repr((arguments, sorted(named.items())))
        if key not in worlds:
            worlds[key] = build(*arguments, **named)
        return worlds[key].fork()

    return copied


class Killed(Exception):
    """The operator is killed, and with it the pass."""


@dataclass
class Simulation:
    """A cluster in memory, with the operator's decisions and no API server."""

    spec: dict[str, Any] = field(default_factory=model_spec)
    settings: OperatorSettings = SETTINGS
    form_cells: FormCells = form_cells
    start_seconds: float = 5
    pod_delay_seconds: float = 0
    """The delay between a pin and its pod."""
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[tuple[str, str, str], Pod] = field(default_factory=dict)
    jobs: dict[str, CompressionJob] = field(default_factory=dict)
    revisions: dict[str, Revision] = field(default_factory=dict)
    daemonsets: set[str] = field(default_factory=set)
    status: dict[str, Any] = field(default_factory=dict)
    generation: int = 1
    trouble: dict[str | tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """The obstacle that keeps pods from being ready, by revision or (revision, node)."""
    signature: CallerSignature | None = None
    """The signature of what the next compression Job publishes."""
    server_layers: dict[str, str] = field(default_factory=dict)
    """The named layers that the next compression Job puts its artifacts on."""
    source_bytes: int | None = None
    """The size of a source for which a Job has memory and disk only if it knows the size; None: any Job has."""
    job_outcome: Any = None
    """A Failed report that every Job ends with; None: it publishes."""
    job_seconds: float = 20
    preflights: dict[str, PreflightJob] = field(default_factory=dict)
    preflights_started: list[StartPreflight] = field(default_factory=list)
    target_outcome: dict[str, Any] = field(default_factory=dict)
    """The end of every preflight Job on a node, by node: a report, (reason, message), a crash in words, or None: it
    ends without a report. "hangs": it does not end. On other nodes the Job reports ``measured()``."""
    preflight_seconds: float = 15
    rivals: tuple[str, ...] = ()
    service_name_conflict: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    pin_log: list[SetPins] = field(default_factory=list)
    events: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The (reason, message) of each Event by its name, in the order of their creation."""
    applied: dict[tuple[str, str], str] = field(default_factory=dict)
    """The hash of the last apply of Services and NetworkPolicies, by (kind, name)."""
    has_replay_secret: bool = False
    writes: int = 0
    killed_at: int = 0
    """The number of the write, from 1, instead of which the operator is killed; its next pass starts anew. 0: never."""
    refusal: Refusal | None = None
    """The message with which every new pod is refused, which the operator reads at once; None: pods are created."""
    killed_always: bool = False
    """True if it is killed at every write: instead of the first, after the second, and so on."""
    jobs_started: list[str] = field(default_factory=list)
    verdict_log: list[RecordVerdict] = field(default_factory=list)
    pin_names: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The (revision, variant or its puller) of each pin, for every revision that ever existed."""
    pods_lost: dict[tuple[str, str, str], datetime] = field(default_factory=dict)
    pins_seen: dict[tuple[str, str], datetime] = field(default_factory=dict)
    back_since: dict[str, datetime] = field(default_factory=dict)
    opened_since: dict[str, datetime] = field(default_factory=dict)
    startable_since: dict[str, datetime] = field(default_factory=dict)
    api_back_since: datetime | None = None
    requests_per_second: float = 2.0
    """The requests per second that the servers of each node answer."""
    warm_up: timedelta = timedelta()
    """The time after a candidate's pod began to serve in which its requests count as those of its warm-up."""
    warm_up_errors: float | None = None
    """The share of failing requests in every warm-up, of stable's servers as of a candidate's; None: as later, and
    nobody called stable's servers in theirs."""
    behind: float = 0
    """The age in seconds of what Prometheus knows."""
    errors: dict[str | tuple[str, str], float] = field(default_factory=dict)
    """The share of failing requests, by revision or (revision, node)."""
    errors_before: float | None = None
    """The share of requests to stable that failed before the wave; None: as now."""
    prometheus: str = "up"
    """The state: up; down: it does not answer; empty: it answers, and has no metrics of the candidate."""
    last_samples: Samples | None = None
    _ended: dict[tuple[str, str], tuple[datetime, datetime]] = field(default_factory=dict)
    """The times from which and until which the last pod of (node, revision) served that is gone."""
    _wanted_since: dict[tuple[str, str, str], datetime] = field(default_factory=dict)
    _job_ends: dict[str, datetime] = field(default_factory=dict)
    _parsed: tuple[dict[str, Any], EdgeModelSpec] | None = None
    _read_status: tuple[dict[str, Any], EdgeModelStatus] | None = None
    _seen: Observation | None = None
    """The observation of the last pass."""

    @classmethod
    def with_nodes(cls, count: int, **fields: Any) -> "Simulation":
        """Returns a simulation with ``count`` nodes, camera-1 and so on."""
        world = cls(**fields)
        for number in range(1, count + 1):
            world.add_node(f"camera-{number}")
        return world

    # --- events that a test causes ---

    def add_node(self, name: str, architecture: str = "amd64", **labels: str) -> None:
        """Adds a node that is online."""
        self.nodes[name] = Node(
            name=name,
            uid=f"uid-{name}",
            labels={"edge": "camera", **labels},
            pins=frozenset(),
            online=True,
            architecture=architecture,
        )

    def cut(self, name: str) -> None:
        """Cuts the node's link: its pods stay, but are no longer seen ready."""
        if self.nodes[name].online:
            self.nodes[name] = replace(self.nodes[name], online=False, offline_since=self.now, online_since=None)
        for key, pod in self.pods.items():
            if pod.node == name:
                self.pods[key] = replace(pod, ready=False, ready_since=None, unready_since=self.now)

    def join(self, name: str) -> None:
        """Restores the node's link: its pods are seen ready after ``start_seconds``."""
        if not self.nodes[name].online:
            self.back_since[name] = self.now
        self.nodes[name] = replace(self.nodes[name], online=True, offline_since=None, online_since=self.now)

    def taint(self, name: str, effect: str = "NoSchedule", key: str = "maintenance") -> None:
        """Taints the node: it gets no pod without a matching toleration; NoExecute evicts present ones."""
        self._mark(name, taints=(*self.nodes[name].taints, Taint(key, "", effect)))

    def untaint(self, name: str) -> None:
        """Removes all taints of the node."""
        self._mark(name, taints=())

    def cordon(self, name: str) -> None:
        """Cordons the node; DaemonSets create pods there all the same."""
        self._mark(name, cordoned=True)

    def uncordon(self, name: str) -> None:
        """Makes a node schedulable."""
        self._mark(name, cordoned=False)

    def _mark(self, name: str, **changes: Any) -> None:
        before = self.nodes[name]
        self.nodes[name] = replace(before, **changes)
        if self.nodes[name] != before:
            self.opened_since[name] = self.now

    def lose_api(self, seconds: float) -> None:
        """Stops the API server for the seconds: nobody, including the operator, hears of anything; pods continue to
        run."""
        self.now += timedelta(seconds=seconds)
        self.api_back_since = self.now

    def delete_node(self, name: str) -> None:
        """Deletes the node; its pods are seen until the world reacts."""
        del self.nodes[name]

    def relabel(self, name: str, **labels: str) -> None:
        """Sets labels of a node."""
        self.nodes[name] = replace(self.nodes[name], labels={**self.nodes[name].labels, **labels})

    def lose_pods(self, name: str) -> None:
        """Deletes the node's pods, as an eviction does: the DaemonSets make new ones when the world reacts."""
        for key in [key for key in self.pods if key[0] == name]:
            del self.pods[key]
            self._wanted_since.pop(key, None)
            self.pods_lost[key] = self.now

    def blink(self, name: str) -> None:
        """Fails a readiness probe of the node's pods, which are ready again after ``start_seconds``."""
        for key, pod in self.pods.items():
            if pod.node == name and pod.ready:
                self.pods[key] = replace(pod, ready=False, ready_since=None, unready_since=self.now)

    def change(self, **changes: Any) -> None:
        """Applies a new spec, without fields that are None."""
        self.spec = {key: value for key, value in {**self.spec, **changes}.items() if value is not None}
        self.generation += 1

    def new_source(self, letter: str) -> None:
        """Applies a spec that makes another revision."""
        self.change(source={"uri": f"oci://registry.example/models/m@sha256:{letter * 64}", "format": "ONNX"})

    def run(self, seconds: float, tick: float = 1) -> None:
        """Passes and world events until ``seconds`` are over.

        As in a cluster, there is a pass where something has changed and where an earlier one asked to be woken: a
        decision that forgets to ask is late here too.
        """
        end, due = self.now + timedelta(seconds=seconds), self.now
        while self.now < end:
            if self.now >= due:
                due = self._next_pass()
            before = self._what_runs()
            self.react()
            if self._what_runs() != before:
                due = self.now
            self.now += timedelta(seconds=tick)

    def _next_pass(self) -> datetime:
        """Makes a pass; returns when the next is due if the world does nothing: at once while there is more to do."""
        writes = self.writes
        decision = self.decide()
        self.carry_out(decision)
        is_measured = self.last_samples is not None
        return self.now if self.writes > writes or is_measured else decision.wake_at or datetime.max.replace(tzinfo=UTC)

    def _what_runs(self) -> tuple[dict[Any, Any], ...]:
        return dict(self.pods), dict(self.jobs), dict(self.preflights)

    def step(self) -> Decision:
        """Runs one pass, whose actions all succeed unless the operator is killed; then the world reacts."""
        decision = self.decide()
        self.carry_out(decision)
        self.react()
        return decision

    @property
    def seen(self) -> Observation:
        """Returns the observation of the last pass."""
        assert self._seen is not None, "there was no pass yet"
        return self._seen

    def decide(self) -> Decision:
        """Returns the operator's decision on what is there now."""
        self._seen = self.observe()
        return decide(self._seen, self.now, self.form_cells)

    def carry_out(self, decision: Decision) -> None:
        """Makes the writes that the operator would make, in its order."""
        with contextlib.suppress(Killed):
            for write in plan_writes(self._seen or self.observe(), decision, self.now):
                if not self._is_there(write):
                    with self.one_write():
                        self._carry_out(write)

    def fork(self) -> Self:
        """Another world that is as this one is now. What its fields hold is replaced, never changed: that is shared."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | list | set):
                setattr(other, name, copy.copy(value))
        other.spec = copy.deepcopy(self.spec)
        return other

    # --- questions that a test asks ---

    @property
    def parsed(self) -> EdgeModelSpec:
        """The spec, parsed."""
        if self._parsed is None or self._parsed[0] is not self.spec:
            self._parsed = (self.spec, parse_spec(self.spec))
        return self._parsed[1]

    def observe(self) -> Observation:
        """Returns what the operator would observe now."""
        return Observation(
            namespace="vision",
            name="m",
            uid="uid-m",
            generation=self.generation,
            spec=self.parsed,
            status=self._parsed_status(),
            stored_status=self.status,
            settings=self.settings,
            revisions=tuple(self.revisions.values()),
            jobs=tuple(self.jobs.values()),
            preflights=tuple(self.preflights.values()),
            pods=tuple(self.pods.values()),
            nodes=tuple(self.nodes.values()),
            applied=(
                *(Applied("DaemonSet", name, "") for name in sorted(self.daemonsets)),
                *(Applied(kind, name, digest) for (kind, name), digest in sorted(self.applied.items())),
            ),
            created="2026-01-01T00:00:00Z",
            host_port_claims=tuple(
                HostPortClaim(namespace, name, f"uid-{name}", created="2025", node_selector={})
                for namespace, name in (rival.split("/") for rival in self.rivals)
            ),
            service_name_conflict=self.service_name_conflict,
            pods_lost=dict(self.pods_lost),
            pins_seen=dict(self.pins_seen),
            back_since=dict(self.back_since),
            opened_since=dict(self.opened_since),
            startable_since=dict(self.startable_since),
            api_back_since=self.api_back_since,
            refusals=self._refusals(),
            samples=self.measure(),
        )

    def _parsed_status(self) -> EdgeModelStatus:
        if self._read_status is None or self._read_status[0] is not self.status:
            self._read_status = (self.status, parse_status(self.status))
        return self._read_status[1]

    def measure(self) -> Samples | None:
        """Returns Prometheus' samples of the candidate since its wave began; the last ones while Prometheus is down."""
        wave_baseline = (self.status.get("rollout") or {}).get("analysis")
        candidate = self.status.get("candidateRevision")
        if not wave_baseline or not candidate:
            self.last_samples = None
            return None
        since = datetime.fromisoformat(wave_baseline["since"])
        last = self.last_samples
        if last is None or (last.candidate, last.since) != (candidate, since):
            last = Samples(self.now, candidate, since)
        if self.prometheus == "down":
            self.last_samples = replace(last, problem="connection refused")
        elif self.prometheus == "empty":
            self.last_samples = Samples(self.now, candidate, since)
        else:
            self.last_samples = self._samples(candidate, since)
        return self.last_samples

    def _samples(self, candidate: str, since: datetime) -> Samples:
        stable, known = self.status.get("stableRevision"), self.now - timedelta(seconds=self.behind)
        ready = {
            (pod.node, pod.revision): pod
            for pod in self.pods.values()
            if pod.ready and pod.node in self.nodes and self.nodes[pod.node].online
        }

        def counted(revision: str | None, begins: datetime | None) -> tuple[Counts, ...]:
            return tuple(
                self._counts(node, revision, (known - max(begins or since, pod.served_since(self.now))).total_seconds())
                for (node, name), pod in sorted(ready.items())
                if name == revision
            )

        def tried(pod: Pod) -> Counts:
            begun = pod.served_since(self.now)
            ended = begun + self.warm_up
            later = self._counts(pod.node, candidate, (known - max(since, ended)).total_seconds())
            seconds = (min(known, ended) - max(since, begun)).total_seconds()
            return with_warm_up(later, self._counts(pod.node, candidate, seconds, self.warm_up_errors))

        def earlier(node: str) -> Counts:
            hour = self._counts(node, stable, 3600, self.errors_before)
            if self.warm_up_errors is None:
                return hour
            return with_warm_up(hour, self._counts(node, stable, self.warm_up.total_seconds(), self.warm_up_errors))

        def ended(node: str) -> Counts:
            begun, until = self._ended[node, stable or ""]
            return self._counts(node, stable, (min(until, known) - max(begun, since)).total_seconds())

        on_trial = {node for node, name in ready if name == candidate}
        gone = {node for node, name in self._ended if name == stable and (node, name) not in ready}
        return Samples(
            measured_at=self.now,
            candidate=candidate,
            since=since,
            trial=tuple(tried(pod) for (_, name), pod in sorted(ready.items()) if name == candidate),
            control=(*counted(stable, since), *map(ended, sorted(gone & self.nodes.keys()))),
            baseline=Baseline(map(earlier, self.nodes) if stable else ()),
            reporting=dict.fromkeys(on_trial, known),
            present=golden_samples(GoldenCount(node, 64, 0, 95) for node in sorted(on_trial)),
        )

    def _counts(self, node: str, revision: str | None, seconds: float, failing: float | None = None) -> Counts:
        total = round(self.requests_per_second * max(seconds, 0))
        revision = revision or ""
        share = self.errors.get((revision, node), self.errors.get(revision, 0.0)) if failing is None else failing
        errors = round(total * share)
        ok = total - errors
        return counted(node, ok, 0, errors, {0.01: ok // 2, 0.025: ok * 95 // 100, 0.05: ok, inf: ok})

    def target(self) -> str:
        """Returns the name of the revision that the spec asks for."""
        return target_name(self.observe())

    def runs(self, node: str) -> set[str]:
        """Returns the revisions with a ready pod on ``node``."""
        return {
            revision
            for (name, revision, variant), pod in self.pods.items()
            if name == node and pod.ready and not variant.startswith(PULLER_PREFIX)
        }

    def pinned(self, node: str) -> set[str]:
        """Returns the names of the revisions to which a node is pinned."""
        names = {*self.revisions, self.target()} | {r["name"] for r in self.status.get("rejectedRevisions", ())}
        variants = [variant.name for variant in self.parsed.variants]
        found = set()
        for name in names:
            if any(pin_key("vision", "m", name, variant) in self.nodes[node].pins for variant in variants):
                found.add(name)
        return found

    def pins(self, node: str) -> set[tuple[str, str]]:
        """Returns the (revision, variant or its puller) of each pin on ``node``."""
        return {self.pin_names[pin] for pin in self.nodes[node].pins}

    def condition(self, kind: str) -> dict[str, Any] | None:
        """Returns the condition of type ``kind``; None if there is none."""
        return next((item for item in self.status["conditions"] if item["type"] == kind), None)

    def ready_reason(self) -> str:
        """Returns the reason of the condition Ready."""
        ready = self.condition("Ready")
        assert ready is not None
        return str(ready["reason"])

    # --- how it works ---

    @contextlib.contextmanager
    def one_write(self) -> Iterator[None]:
        """Raises Killed instead of the write at which the operator is killed, or after it."""
        self.writes += 1
        if self.writes == self.killed_at or (self.killed_always and self.writes % 2):
            raise Killed
        yield
        if self.killed_always:
            raise Killed

    def _is_there(self, write: Write) -> bool:
        """Returns whether an interrupted pass made it: the API server then refuses it, and nothing is written."""
        if isinstance(write, TellEvent):
            return write.event["metadata"]["name"] in self.events
        return isinstance(write, CreateReplaySecret) and self.has_replay_secret

    def _carry_out(self, write: Write) -> None:
        match write:
            case TellEvent(event):
                self.events[event["metadata"]["name"]] = event["reason"], event["message"]
            case WriteStatus():
                self.status = write.status
                self.history.append(write.status)
            case CreateReplaySecret():
                self.has_replay_secret = True
            case ApplyObject(body, digest):
                self.applied[body["kind"], body["metadata"]["name"]] = digest
            case CreateObject() | WriteRevisionStatus() | DeleteObject() | PatchNode():
                self._act(write.action)
            case _:
                assert_never(write)

    def _act(self, action: Action) -> None:
        match action:
            case StartJob(name, attempt, _, source_bytes):
                self.jobs[name] = CompressionJob(
                    name,
                    attempt,
                    None,
                    False,
                    None,
                    None,
                    server_image=self.settings.server_image,
                    uid=f"uid-{name}",
                    created=self.now,
                    has_pod=self.refusal is None,
                    source_bytes=source_bytes,
                )
                self.jobs_started.append(name)
                self._job_ends[name] = self.now + timedelta(seconds=self.job_seconds)
            case DeleteJob(name):
                self.jobs.pop(name, None)
                self.preflights.pop(name, None)
            case RecordRevision(name, spec):
                self.revisions.setdefault(name, Revision(name, f"uid-{name}", self.now, spec))
                for variant in (item.name for item in spec.variants):
                    for either in (variant, puller_of(variant)):
                        self.pin_names[pin_key("vision", "m", name, either)] = (name, either)
            case StartPreflight(name, attempt):
                self.preflights[name] = PreflightJob(
                    name, attempt, self.now, None, None, None, uid=f"uid-{name}", has_pod=self.refusal is None
                )
                self.preflights_started.append(action)
            case RecordPreflight(name, preflight):
                self.revisions[name] = replace(self.revisions[name], preflight=preflight)
            case RecordVerdict(name, verdict, _, _):
                self.revisions[name] = replace(self.revisions[name], verdict=verdict)
                self.verdict_log.append(action)
            case DeleteRevision(name):
                gone = self.revisions.pop(name, None)
                for job in [s.name for s in self.preflights_started if s.revision.name == name]:
                    self.preflights.pop(job, None)
                for variant in (item.name for item in gone.spec.variants) if gone is not None else ():
                    self.daemonsets -= {daemonset_name(name, variant), daemonset_name(name, puller_of(variant))}
            case EnsureDaemonSet(revision, variant):
                self.daemonsets.add(daemonset_name(revision.name, variant))
            case DeleteDaemonSet(name):
                self.daemonsets.discard(name)
            case SetPins(name, add, remove):
                node = self.nodes[name]
                deferrals = frozenset(key for key in add if key.startswith(DEFERRAL_PREFIX))
                pins = (node.pins - remove) | (add - deferrals)
                for pin in remove:
                    self.pins_seen.pop((name, pin), None)
                for pin in add:
                    self.pins_seen.setdefault((name, pin), self.now)
                self.nodes[name] = replace(node, pins=pins, deferrals=(node.deferrals - remove) | deferrals)
                self.pin_log.append(action)
            case EnsureReplaySecret() | EnsureService() | EnsureNetworkPolicies():
                raise AssertionError(f"{action} is no single write")

    def react(self) -> None:
        """Lets the cluster react: Jobs end, pods start and become ready."""
        self._end_jobs()
        self._end_preflights()
        here: dict[str, list[tuple[str, str, str]]] = {}
        for key in [*self.pods, *(key for key in self._wanted_since if key not in self.pods)]:
            if key[0] in self.nodes:
                here.setdefault(key[0], []).append(key)
            else:
                self.pods.pop(key, None)
        for node in self.nodes.values():
            if node.online:
                self._run_pods(node, here.get(node.name, []))

    def _end_jobs(self) -> None:
        for name, job in self.jobs.items():
            if not job.has_pod and self.refusal is None:
                self.jobs[name] = replace(job, has_pod=True)
                self._job_ends[name] = self.now + timedelta(seconds=self.job_seconds)
            elif job.has_pod and job.ended is None and self.now >= self._job_ends[name]:
                if self.source_bytes and job.source_bytes is None:
                    report = Failed(reasons.INSUFFICIENT_MEMORY, "large", True, source_size_bytes=self.source_bytes)
                    self.jobs[name] = replace(job, ended=self.now, report=report)
                elif isinstance(self.job_outcome, Failed):
                    self.jobs[name] = replace(job, ended=self.now, report=self.job_outcome)
                elif isinstance(self.job_outcome, tuple):
                    self.jobs[name] = replace(job, ended=self.now, trouble=self.job_outcome)
                else:
                    reports = tuple(
                        replace(artifact_report(v.name), server_layers=self.server_layers) for v in self.parsed.variants
                    )
                    converter = self.parsed.request.source.converter
                    made = CONVERTER_DIGEST if converter else None
                    published = Published(DIGEST, reports, made, self.signature)
                    self.jobs[name] = replace(job, ended=self.now, succeeded=True, report=published)

    def _end_preflights(self) -> None:
        """Ends the preflight Jobs of nodes that are online."""
        asked = {start.name: start.node for start in self.preflights_started}
        for name, job in self.preflights.items():
            node = self.nodes.get(asked[name])
            if self.refusal is not None and not job.has_pod:
                continue
            if job.ended is not None or node is None or not node.online:
                continue
            if self.now < job.created + timedelta(seconds=self.preflight_seconds):
                continue
            outcome = self.target_outcome.get(node.name, measured())
            if isinstance(outcome, Measurement | Incompatible):
                self.preflights[name] = replace(job, ended=self.now, report=outcome)
            elif isinstance(outcome, tuple):
                self.preflights[name] = replace(job, ended=self.now, trouble=outcome)
            elif outcome != "hangs":
                self.preflights[name] = replace(job, ended=self.now, crashed=outcome or "")

    def _run_pods(self, node: Node, here: list[tuple[str, str, str]]) -> None:
        """Moves the node's pods on. ``here`` has them, and those that are about to be created."""
        repelling = {effect: self._repelled(node, effect) for effect in ("NoSchedule", "NoExecute")}
        wanted = {
            (node.name, revision.name, variant)
            for revision in self.revisions.values()
            for item in revision.spec.variants
            for variant in (item.name, puller_of(item.name))
            if daemonset_name(revision.name, variant) in self.daemonsets
            and pin_key("vision", "m", revision.name, variant) in node.pins
        }
        for key in here:
            if key not in wanted or key[1] in repelling["NoExecute"]:
                pod = self.pods.pop(key, None)
                if pod is not None and pod.ready_since is not None:
                    self._ended[key[:2]] = (pod.ready_since, self.now)
                if pod is not None and key in wanted:
                    self.pods_lost[key] = self.now
                self._wanted_since.pop(key, None)
        for key in wanted:
            if self.refusal is not None and key not in self.pods:
                continue
            if key[1] in repelling["NoExecute"] or (key[1] in repelling["NoSchedule"] and key not in self.pods):
                continue
            since = self._wanted_since.setdefault(key, self.now)
            if self.now < since + timedelta(seconds=self.pod_delay_seconds):
                continue
            pod = self.pods.get(key) or Pod(
                "-".join(key), node.name, key[1], key[2], False, None, self.now, False, 0, None
            )
            trouble = self.trouble.get((key[1], node.name), self.trouble.get(key[1]))
            if trouble is not None:
                unready = self.now if pod.ready else pod.unready_since
                pod = replace(
                    pod,
                    ready=False,
                    ready_since=None,
                    unready_since=unready,
                    trouble=trouble,
                    restarts=pod.restarts + 1,
                )
            elif pod.trouble is not None and pod.trouble[0] == reasons.SECRET_NOT_FOUND:
                self.startable_since[pod.name] = self.now
                pod = replace(pod, trouble=None)
            elif not pod.ready and self.now >= max(
                pod.unready_since or pod.created,
                node.online_since or pod.created,
                self.startable_since.get(pod.name, pod.created),
            ) + timedelta(seconds=self.start_seconds):
                pod = replace(pod, ready=True, ready_since=self.now, unready_since=None, trouble=None)
            self.pods[key] = pod

    def _refusals(self) -> dict[tuple[str, str], Refusal]:
        of_pods = {
            ("Pod", pod.name): Refusal(pod.trouble[1], is_final=True, reason=pod.trouble[0])
            for pod in self.pods.values()
            if pod.trouble is not None and pod.trouble[0] == reasons.SECRET_NOT_FOUND
        }
        if self.refusal is None:
            return of_pods
        podless = [("Job", name) for name, job in self.jobs.items() if not job.has_pod]
        podless += [("Job", name) for name, preflight in self.preflights.items() if not preflight.has_pod]
        return dict.fromkeys([*podless, *(("DaemonSet", name) for name in self.daemonsets)], self.refusal)

    def _repelled(self, node: Node, effect: str) -> set[str]:
        """Returns the revisions whose pods do not tolerate a taint of ``node`` with ``effect``."""
        taints = [taint for taint in node.taints if taint.effect == effect]
        return {
            name
            for name, revision in self.revisions.items()
            for taint in taints
            if not any(tolerates(toleration, taint) for toleration in revision.spec.serving.tolerations)
        }
