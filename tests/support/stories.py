"""Random stories of a fleet for property-based tests: sequences of events for a Simulation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from edge_operator.decide import Decision
from edge_operator.decide.observation import Node, Observation, Pod
from edgemodel import reasons
from edgemodel.names import PULLER_PREFIX
from edgemodel.report import Failed
from tests.support.cells import cells_of
from tests.support.simulation import Simulation, measured, model_spec

Event = tuple[Any, ...]
"""An event (verb, arguments…); the verbs are the keys of VERBS."""

WAVES: tuple[list[dict[str, Any]], ...] = (
    [{"name": "canary", "nodes": 1}, {"name": "all", "percent": 100}],
    [{"name": "canary", "nodes": 1}, {"name": "half", "percent": 50}, {"name": "all", "percent": 100}],
    [{"name": "all", "percent": 100}],
)
TROUBLES = (
    (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)"),
    (reasons.CRASH_LOOP, "the server ended 3 times"),
    (reasons.IMAGE_PULL_FAILED, "ErrImagePull: not found"),
)
OUTCOMES = (
    None,
    Failed(reasons.BUDGET_EXCEEDED, "accuracy drops 3.0 %, limit 0.5 % (n = 2000)", False),
    Failed(reasons.SOURCE_UNREACHABLE, "connection refused", True),
    (reasons.OUT_OF_MEMORY, "killed at 64Mi"),
)
ANALYSES: tuple[Any, ...] = (
    None,
    {"checks": []},
    {"onInconclusive": {"afterSeconds": 60, "action": "Pause"}},
    {"onInconclusive": {"afterSeconds": 60, "action": "RollBack"}},
    {"onInconclusive": {"afterSeconds": 20, "action": "Proceed"}},
)
PREFLIGHTS: tuple[Any, ...] = (
    None,
    {"nodeSelector": {"edge": "camera"}, "maxLatencyMilliseconds": "20", "deadlineSeconds": 60},
    {"nodeSelector": {"board": "pi"}, "deadlineSeconds": 60},
)
ON_TARGET = (
    measured(),
    measured(p50="25"),
    measured(agree=0),
    (reasons.OUT_OF_MEMORY, "killed"),
    "exit code 132",
    "",
    "hangs",
)
PI = [{"name": "pi", "nodeSelector": {"board": "pi"}}]
QUIET_SECONDS = 250
"""A time that is longer than every soak, bake and deadline of these stories."""


@dataclass(frozen=True)
class Frame:
    """One pass: what it saw, what it decided, and the state after it, before the world reacted."""

    now: datetime
    seen: Observation
    decision: Decision
    status: dict[str, Any]
    """The status as stored after the pass; a killed one may have written nothing."""
    nodes: dict[str, Node]
    pods: tuple[Pod, ...]
    killed: bool
    daemonsets: int

    def before(self, node: str) -> Node | None:
        """Returns a node as the operator saw it; None if it did not exist."""
        return next((item for item in self.seen.nodes if item.name == node), None)


@dataclass
class Tale:
    """A story with the frames of its run."""

    world: Simulation
    frames: list[Frame] = field(default_factory=list)
    quiet: bool = False
    faulty: set[str] = field(default_factory=set)
    """The revisions whose servers failed requests at some time, their warm-ups aside."""

    def names(self, pins: frozenset[str]) -> set[str]:
        """Returns the revisions that ``pins`` make a node serve, without those of pullers."""
        found = (self.world.pin_names[pin] for pin in pins)
        return {revision for revision, variant in found if not variant.startswith(PULLER_PREFIX)}

    def any_names(self, pins: frozenset[str]) -> set[str]:
        """Returns the revisions of ``pins``."""
        return {self.world.pin_names[pin][0] for pin in pins}

    def step(self) -> None:
        """Lets one pass of the operator and one reaction of the cluster happen, and keeps the frame."""
        world = self.world
        seen, writes = world.observe(), world.writes
        decision = world.decide()
        world.carry_out(decision)
        killed = writes < world.killed_at <= world.writes
        pods = tuple(world.pods.values())
        self.frames.append(
            Frame(world.now, seen, decision, world.status, dict(world.nodes), pods, killed, len(world.daemonsets))
        )
        world.react()

    def run(self, seconds: int, tick: int = 1) -> None:
        """Lets ``seconds`` pass, with a step every ``tick`` seconds."""
        for _ in range(0, seconds, tick):
            self.step()
            self.world.now += timedelta(seconds=tick)

    def end(self) -> None:
        """Ends all trouble and runs passes until nothing is written any more, for half an hour at most."""
        world = self.world
        world.trouble.clear()
        world.errors.clear()
        world.job_outcome = None
        world.target_outcome.clear()
        world.prometheus, world.requests_per_second = "up", 20.0
        if world.spec["rollout"].get("paused"):
            _change_rollout(self, paused=False)
        calm, writes = 0, world.writes
        for _ in range(0, 2400, 5):
            self.run(5, 5)
            calm = calm + 5 if world.writes == writes else 0
            writes = world.writes
            if calm >= QUIET_SECONDS and self.frames[-1].decision.wake_at is None:
                self.quiet = True
                return


def tell(story: tuple[dict[str, Any], list[Event]], cell_size: int = 1) -> Tale:
    """Runs ``story`` on a simulation whose cells have up to ``cell_size`` members."""
    setting, events = story
    world = Simulation.with_nodes(
        setting["nodes"] * cell_size, pod_delay_seconds=setting["pod_delay"], start_seconds=setting["start"]
    )
    if cell_size > 1:
        world.form_cells = cells_of(cell_size)
    world.spec = model_spec(serving={"strategy": setting["strategy"]})
    world.spec["rollout"] |= {"progressDeadlineSeconds": 130, "controlNodes": setting.get("controls", 0)}
    _warm_up(Tale(world), *setting.get("warm_up", (0, None)))
    _analyse(Tale(world), setting["analysis"])
    _preflight(Tale(world), setting["preflight"])
    tale = Tale(world)
    tale.run(setting["head"])
    for verb, *arguments in events:
        VERBS[verb](tale, *arguments)
        tale.run(1)
    tale.end()
    return tale


# --- verbs ---


def _on_node(act: Callable[[Simulation, str], None]) -> Callable[[Tale, int], None]:
    def verb(tale: Tale, number: int) -> None:
        names = sorted(tale.world.nodes)
        if names:
            act(tale.world, names[number % len(names)])

    return verb


def _change_rollout(tale: Tale, **changes: Any) -> None:
    tale.world.change(rollout={**tale.world.spec["rollout"], **changes})


def _analyse(tale: Tale, which: int) -> None:
    tale.world.change(analysis=ANALYSES[which])


def _preflight(tale: Tale, which: int) -> None:
    tale.world.change(preflight=PREFLIGHTS[which])


def _on_target(tale: Tale, which: int) -> None:
    tale.world.target_outcome = dict.fromkeys(tale.world.nodes, ON_TARGET[which])


def _measured(tale: Tale, prometheus: str, requests_per_second: float) -> None:
    tale.world.prometheus, tale.world.requests_per_second = prometheus, requests_per_second


def _faulty(tale: Tale, share: float) -> None:
    tale.world.errors[tale.world.target()] = share
    tale.faulty.add(tale.world.target())


def _warm_up(tale: Tale, seconds: int, failing: float | None) -> None:
    tale.world.warm_up, tale.world.warm_up_errors = timedelta(seconds=seconds), failing


def _add(tale: Tale, number: int) -> None:
    if f"camera-{number}" not in tale.world.nodes:
        tale.world.add_node(f"camera-{number}", "arm" if number == 7 else "amd64", board="pi" if number == 8 else "pc")


def _taint(tale: Tale, number: int, effect: str) -> None:
    _on_node(lambda world, name: world.taint(name, effect))(tale, number)


def _open(world: Simulation, name: str) -> None:
    world.untaint(name)
    world.uncordon(name)


def _trouble(tale: Tale, which: int) -> None:
    tale.world.trouble[tale.world.target()] = TROUBLES[which]


def _ill(tale: Tale, which: int) -> None:
    stable = tale.world.status.get("stableRevision")
    if stable is not None:
        tale.world.trouble[stable] = TROUBLES[which]


def _kill(tale: Tale, writes: int) -> None:
    tale.world.killed_at = tale.world.writes + writes


def _asleep(tale: Tale, seconds: int) -> None:
    """Runs no pass for a while: the operator is down, or the queue is long."""
    for _ in range(seconds):
        tale.world.react()
        tale.world.now += timedelta(seconds=1)


def _again(tale: Tale, times: int) -> None:
    """Runs several passes at one moment, between which the world does nothing."""
    for _ in range(times):
        tale.step()


def _job(tale: Tale, which: int) -> None:
    tale.world.job_outcome = OUTCOMES[which]


VERBS: dict[str, Callable[..., None]] = {
    "run": lambda tale, seconds: tale.run(seconds),
    "asleep": _asleep,
    "again": _again,
    "kill": _kill,
    "cut": _on_node(lambda world, name: world.cut(name)),
    "join": _on_node(lambda world, name: world.join(name)),
    "add": _add,
    "delete": _on_node(lambda world, name: world.delete_node(name)),
    "unselect": _on_node(lambda world, name: world.relabel(name, edge="gateway")),
    "select": _on_node(lambda world, name: world.relabel(name, edge="camera")),
    "make pi": _on_node(lambda world, name: world.relabel(name, board="pi")),
    "lose pods": _on_node(lambda world, name: world.lose_pods(name)),
    "blink": _on_node(lambda world, name: world.blink(name)),
    "taint": _taint,
    "cordon": _on_node(lambda world, name: world.cordon(name)),
    "open": _on_node(lambda world, name: _open(world, name)),
    "source": lambda tale, letter: tale.world.new_source(letter),
    "strategy": lambda tale, strategy: tale.world.change(serving={"strategy": strategy}),
    "resources": lambda tale, size: tale.world.change(
        serving={**tale.world.spec["serving"], "resources": {"limits": {"memory": size}}}
    ),
    "waves": lambda tale, which: _change_rollout(tale, waves=WAVES[which]),
    "controls": lambda tale, nodes: _change_rollout(tale, controlNodes=nodes),
    "tolerance": lambda tale, nodes: _change_rollout(tale, maxFailedNodes=nodes),
    "retry": lambda tale, token: _change_rollout(tale, retryToken=token),
    "variants": lambda tale, variants: tale.world.change(variants=variants),
    "placement": lambda tale, selector: tale.world.change(placement={"nodeSelector": selector}),
    "history": lambda tale, limit: tale.world.change(revisionHistoryLimit=limit),
    "trouble": _trouble,
    "ill": _ill,
    "cure": lambda tale: tale.world.trouble.clear(),
    "job": _job,
    "analysis": _analyse,
    "preflight": _preflight,
    "on target": _on_target,
    "measured": _measured,
    "faulty": _faulty,
    "warm up": _warm_up,
    "paused": lambda tale, paused: _change_rollout(tale, paused=paused),
}

_NODE = st.integers(0, 5)
_WARM_UPS = ((0, None), (10, None), (10, 0.3), (60, 0.9))
"""The lengths of warm-ups, in seconds, with the shares of requests that fail in them."""
_EVENTS = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([3, 10, 25, 40, 70, 130])),
    st.tuples(st.just("run"), st.sampled_from([25, 60])),
    st.tuples(st.just("source"), st.sampled_from("abc")),
    st.tuples(st.just("source"), st.sampled_from("abc")),
    st.tuples(st.sampled_from(["cut", "join", "delete", "unselect", "select", "make pi", "lose pods", "blink"]), _NODE),
    st.tuples(st.sampled_from(["cut", "join"]), _NODE),
    st.tuples(st.sampled_from(["cordon", "open"]), _NODE),
    st.tuples(st.just("taint"), _NODE, st.sampled_from(["NoSchedule", "NoExecute"])),
    st.tuples(st.just("add"), st.integers(4, 8)),
    st.tuples(st.just("asleep"), st.sampled_from([5, 30, 200])),
    st.tuples(st.just("again"), st.integers(1, 3)),
    st.tuples(st.just("kill"), st.integers(1, 12)),
    st.tuples(st.just("strategy"), st.sampled_from(["Surge", "Recreate"])),
    st.tuples(st.just("resources"), st.sampled_from(["64Mi", "128Mi"])),
    st.tuples(st.just("waves"), st.integers(0, len(WAVES) - 1)),
    st.tuples(st.just("tolerance"), st.integers(0, 2)),
    st.tuples(st.just("controls"), st.integers(0, 2)),
    st.tuples(st.just("retry"), st.sampled_from(["", "1"])),
    st.tuples(st.just("variants"), st.sampled_from([[], PI])),
    st.tuples(st.just("placement"), st.sampled_from([{"edge": "camera"}, {"edge": "gateway"}])),
    st.tuples(st.just("history"), st.integers(1, 2)),
    st.tuples(st.just("trouble"), st.integers(0, len(TROUBLES) - 1)),
    st.tuples(st.just("ill"), st.integers(0, len(TROUBLES) - 1)),
    st.tuples(st.just("cure")),
    st.tuples(st.just("job"), st.integers(0, len(OUTCOMES) - 1)),
    st.tuples(st.just("analysis"), st.integers(0, len(ANALYSES) - 1)),
    st.tuples(st.just("preflight"), st.integers(0, len(PREFLIGHTS) - 1)),
    st.tuples(st.just("on target"), st.integers(0, len(ON_TARGET) - 1)),
    st.tuples(st.just("on target"), st.integers(1, len(ON_TARGET) - 1)),
    st.tuples(st.just("measured"), st.sampled_from(["up", "up", "down", "empty"]), st.sampled_from([0.0, 0.5, 20.0])),
    st.tuples(st.just("faulty"), st.sampled_from([0.05, 0.5])),
    st.tuples(st.just("paused"), st.booleans()),
    st.sampled_from([("warm up", *warm_up) for warm_up in _WARM_UPS]),
)
STORIES = st.tuples(
    st.fixed_dictionaries(
        {
            "nodes": st.integers(1, 4),
            "strategy": st.sampled_from(["Surge", "Recreate"]),
            "pod_delay": st.sampled_from([0, 2]),
            "start": st.sampled_from([2, 8]),
            "head": st.sampled_from([0, 25, 200]),
            "analysis": st.integers(0, len(ANALYSES) - 1),
            "preflight": st.sampled_from([0, 0, 1, 2]),
            "controls": st.sampled_from([0, 1, 1, 2]),
            "warm_up": st.sampled_from(_WARM_UPS),
        }
    ),
    st.lists(_EVENTS, min_size=4, max_size=16),
)
