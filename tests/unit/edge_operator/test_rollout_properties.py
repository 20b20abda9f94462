"""The properties of every story of a fleet, with cuts, joins, changes, faults and kills in any order."""

from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings

from edge_operator.decide.decision import gather
from edge_operator.decide.observation import Node
from edge_operator.decide.placement.waves import plan_waves
from edge_operator.decide.rollout.trial import Trial, find_trial
from edgemodel import reasons
from edgemodel.names import PULLER_PREFIX
from edgemodel.status import status_to_json
from tests.support import manifests
from tests.support.cells import cell_of, cells_of
from tests.support.stories import STORIES, Event, Frame, Tale, tell
from tests.support.tiers import examples

pytestmark = pytest.mark.slow

Story = tuple[dict[str, Any], list[Event]]

CELL_SIZES = (1, 3)
"""The sizes of cells: one node, or up to three neighbours."""

# The stories are the same in every run, so that a failure in CI fails on every machine.
in_every_story = settings(
    max_examples=examples(40),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def rejected(status: dict[str, Any]) -> set[str]:
    return {item["name"] for item in status.get("rejectedRevisions") or ()}


def added(tale: Tale, number: int) -> list[tuple[str, set[str]]]:
    """Returns the (node, revisions) of the pins that pass ``number`` set."""
    frame = tale.frames[number]
    found = []
    for name, node in frame.nodes.items():
        before = frame.before(name)
        new = tale.any_names(node.pins - (before.pins if before is not None else frozenset()))
        if new:
            found.append((name, new))
    return found


def trial_of(frame: Frame, cell_size: int) -> Trial | None:
    """Returns the trial that the pass found; None if nothing was to be tried."""
    context = gather(frame.seen, frame.now, cells_of(cell_size))
    if not context.may_try():
        return None
    return find_trial(context.fleet, context.target, context.trial_before, context.judgement, context.timers)


def recreates(frame: Frame, revision: str) -> bool:
    """Returns whether nodes end the pod that they have before they start one of ``revision``."""
    found = frame.seen.revision(revision)
    return found is not None and found.spec.serving.strategy == "Recreate"


def is_selected(frame: Frame, node: Node) -> bool:
    wanted = frame.seen.spec.node_selector["edge"]
    return node.labels["edge"] == wanted and node.architecture in frame.seen.settings.supported_architectures


def is_free(tale: Tale, node: Node, candidate: str, stable: str) -> bool:
    """Returns whether the node is on stable, and was not sent the candidate."""
    return node.online and stable in tale.names(node.pins) and candidate not in tale.any_names(node.pins)


SUPERSEDED_WHILE_OFFLINE: Story = (
    {"nodes": 1, "strategy": "Recreate", "pod_delay": 0, "start": 2, "head": 25, "analysis": 0, "preflight": 0},
    [("run", 3), ("add", 4), ("strategy", "Surge"), ("cut", 0)],
)


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@example(SUPERSEDED_WHILE_OFFLINE)
@in_every_story
def test_an_offline_node_or_one_set_aside_gets_no_pin_but_that_of_stable_when_it_leaves_what_failed_or_was_superseded(
    cell_size: int,
    story: Story,
) -> None:
    tale = tell(story, cell_size)
    was_stable: set[str] = set()
    for number, frame in enumerate(tale.frames):
        for name, revisions in added(tale, number):
            node = frame.before(name)
            assert node is not None
            if not node.online or node.taints or node.cordoned:
                assert revisions == {frame.status["stableRevision"]}
                left = tale.any_names(node.pins)
                assert left & rejected(frame.status) or left - was_stable
        was_stable.add(frame.status.get("stableRevision", ""))


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_no_node_keeps_a_pin_of_a_rejected_revision_for_longer_than_a_pass(cell_size: int, story: Story) -> None:
    tale = tell(story, cell_size)
    for frame in tale.frames:
        if not frame.killed:
            for node in frame.nodes.values():
                assert not tale.any_names(node.pins) & rejected(frame.status)


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_with_surge_a_serving_node_keeps_serving_unless_it_leaves_a_rejected_revision(
    cell_size: int, story: Story
) -> None:
    """The exceptions are a pod that fails by itself, and a node that is no longer selected."""
    tale = tell(story, cell_size)
    for number, frame in enumerate(tale.frames):
        recreated = {name for name, revisions in added(tale, number) if any(recreates(frame, one) for one in revisions)}
        for node in (node for node in frame.seen.nodes if node.name not in recreated):
            ready = {
                pod.revision
                for pod in frame.seen.pods
                if pod.node == node.name and pod.ready and not pod.variant.startswith(PULLER_PREFIX)
            }
            serving = ready & tale.names(node.pins)
            wanted = node.labels["edge"] == frame.seen.spec.node_selector["edge"]
            evicts = any(taint.effect == "NoExecute" for taint in node.taints)
            if wanted and node.online and not evicts and serving - rejected(frame.status):
                assert serving & tale.names(frame.nodes[node.name].pins)


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_the_candidate_enters_no_more_nodes_than_the_plan_of_its_wave(cell_size: int, story: Story) -> None:
    """The plan counts no controls. A node that is set aside may keep the candidate, if it has nothing else; it is
    deferred, and not on trial."""
    tale = tell(story, cell_size)
    for number, frame in enumerate(tale.frames):
        candidate, rollout = frame.status.get("candidateRevision"), frame.status.get("rollout")
        if candidate is None or not any(candidate in revisions for _, revisions in added(tale, number)):
            continue
        wanted = frame.seen.spec.node_selector["edge"]
        selected = {cell_of(n.name, cell_size) for n in frame.seen.nodes if n.labels["edge"] == wanted}
        trial = trial_of(frame, cell_size)
        assert trial is not None
        failed = {failure.cell for failure in trial.failures}
        running = [node for node in frame.nodes.values() if candidate in tale.names(node.pins) and not node.deferrals]
        on_it = {cell_of(node.name, cell_size) for node in running}
        others = len(selected) - rollout.get("controlNodes", 0)
        room = plan_waves(frame.seen.spec.rollout.waves, others)[rollout["wave"]] + len(failed)
        assert len(on_it) <= room
        assert len(running) <= room * cell_size


@given(STORIES)
@in_every_story
def test_the_members_of_a_cell_enter_a_wave_together_and_leave_stable_together(story: Story) -> None:
    """The operator may be killed between two of their patches; then the others follow, or all go back."""
    tale = tell(story, cell_size=3)
    for number, frame in enumerate(tale.frames):
        candidate, stable = frame.status.get("candidateRevision"), frame.status.get("stableRevision")
        if candidate is None or frame.killed:
            continue
        entered = {name for name, revisions in added(tale, number) if candidate in revisions}
        for cell in {cell_of(name, 3) for name in entered}:
            placed = [node for node in frame.seen.nodes if is_selected(frame, node) and cell_of(node.name, 3) == cell]
            assert all(candidate in tale.any_names(frame.nodes[node.name].pins) for node in placed)
        for node in frame.seen.nodes:
            left = tale.names(node.pins) - tale.names(frame.nodes[node.name].pins)
            if not recreates(frame, candidate) and stable in left and is_selected(frame, node):
                cell = cell_of(node.name, 3)
                members = {item.name for item in frame.seen.nodes if is_selected(frame, item)}
                members = {name for name in members if cell_of(name, 3) == cell}
                serving = {pod.node for pod in frame.seen.pods if pod.ready and pod.revision == candidate}
                assert members <= serving


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_no_candidate_is_rejected_for_a_node_that_is_set_aside(cell_size: int, story: Story) -> None:
    """The exception is a pod of the candidate on the node that reports its own fault."""
    before: set[str] = set()
    for frame in tell(story, cell_size).frames:
        barred = {node.name for node in frame.seen.nodes if node.taints or node.cordoned}
        for item in frame.status.get("rejectedRevisions") or ():
            if item["name"] not in before and item["reason"] in (reasons.NODE_LOST, reasons.NODE_READY_TIMEOUT):
                assert not any(
                    f"node {name} " in item["message"] or f"node {name}:" in item["message"] for name in barred
                )
        before |= rejected(frame.status)


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_a_rejected_revision_is_never_pinned_again(cell_size: int, story: Story) -> None:
    """A change of retryToken makes another revision."""
    tale = tell(story, cell_size)
    bad: set[str] = set()
    for number, frame in enumerate(tale.frames):
        bad |= rejected(frame.status)
        for _, revisions in added(tale, number):
            assert not revisions & bad


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_stable_becomes_only_what_was_on_trial_in_the_last_wave_and_serves_somewhere(
    cell_size: int, story: Story
) -> None:
    tale = tell(story, cell_size)
    before: dict[str, Any] = {}
    for frame in tale.frames:
        stable = frame.status.get("stableRevision")
        if stable != before.get("stableRevision"):
            assert stable is not None
            assert before["candidateRevision"] == stable
            assert before["rollout"]["wave"] + 1 == before["rollout"]["waves"]
            assert any(pod.ready and pod.revision == stable for pod in frame.seen.pods)
        before = frame.status


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_controls_are_on_stable_and_get_the_candidate_only_after_the_bake(cell_size: int, story: Story) -> None:
    """The number that status says is on stable, without the candidate, in the same pass, and others are not."""
    tale = tell(story, cell_size)
    for frame in tale.frames:
        candidate, stable = frame.status.get("candidateRevision"), frame.status.get("stableRevision")
        rollout = frame.status.get("rollout") or {}
        kept = rollout.get("controlNodes", 0)
        if frame.killed or not kept:
            continue
        assert stable is not None
        assert kept <= frame.seen.spec.rollout.control_nodes
        assert "controlsReleasedAt" not in rollout
        cells: dict[str, list[Node]] = {}
        for node in frame.nodes.values():
            if is_selected(frame, node):
                cells.setdefault(cell_of(node.name, cell_size), []).append(node)
        free = [cell for cell in cells.values() if all(is_free(tale, node, candidate, stable) for node in cell)]
        assert len(free) >= kept
        assert len(cells) > kept


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_no_control_gets_the_candidate_before_the_bake_is_through_or_keeps_its_variant_from_being_tried(
    cell_size: int, story: Story
) -> None:
    """Nothing becomes stable while a control is left, and another cell of its variant has the candidate or gets it
    next."""
    tale = tell(story, cell_size)
    for frame in tale.frames:
        trial = trial_of(frame, cell_size)
        if trial is None or not trial.controls:
            continue
        assert frame.status.get("stableRevision") != trial.candidate
        if "controlsReleasedAt" not in (frame.status.get("rollout") or {}):
            for member in (member for cell in trial.controls for member in cell.members):
                assert trial.candidate not in tale.any_names(frame.nodes[member.node.name].pins)
        kept, others = (
            {tuple(sorted({trial.fleet.variant(trial.candidate, member) for member in cell.members})) for cell in cells}
            for cells in (trial.controls, (*trial.switched, *trial.next_cells))
        )
        assert kept <= others


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_a_warm_up_like_those_of_stable_rejects_nothing(cell_size: int, story: Story) -> None:
    tale = tell(story, cell_size)
    found = [item for status in tale.world.history for item in status.get("rejectedRevisions") or ()]
    for item in found:
        if item["reason"] in (reasons.ERROR_RATE_TOO_HIGH, reasons.LATENCY_TOO_HIGH):
            assert item["name"] in tale.faulty


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_controls_are_released_once_and_only_in_the_last_wave_of_a_trial(cell_size: int, story: Story) -> None:
    """The controls are released in a pass that found the last wave recorded, and after its bake."""
    tale = tell(story, cell_size)
    before: dict[str, Any] = {}
    for frame in tale.frames:
        rollout, past = frame.status.get("rollout") or {}, before.get("rollout") or {}
        released = rollout.get("controlsReleasedAt")
        if released is not None and released != past.get("controlsReleasedAt"):
            assert before["candidateRevision"] == frame.status["candidateRevision"]
            assert "controlsReleasedAt" not in past
            assert past["wave"] + 1 == past["waves"]
            assert not frame.seen.spec.rollout.paused
            bake = frame.seen.spec.rollout.bake.total_seconds()
            assert (frame.now - datetime.fromisoformat(past["waveStartedAt"])).total_seconds() >= bake
        before = frame.status


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_while_paused_no_node_gets_the_candidate_and_nothing_becomes_stable(cell_size: int, story: Story) -> None:
    tale = tell(story, cell_size)
    before: dict[str, Any] = {}
    for number, frame in enumerate(tale.frames):
        if frame.seen.spec.rollout.paused:
            candidate = frame.status.get("candidateRevision")
            assert not any(candidate in revisions for _, revisions in added(tale, number))
            assert frame.status.get("stableRevision") == before.get("stableRevision")
        before = frame.status


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_missing_data_moves_nothing(cell_size: int, story: Story) -> None:
    """Without answers of Prometheus, a wave that is to be held starts no next one, and no check fails."""
    tale = tell(story, cell_size)
    before: dict[str, Any] = {}
    for frame in tale.frames:
        samples, rollout = frame.seen.samples, before.get("rollout")
        holds = frame.seen.spec.analysis.on_inconclusive.action == "Pause" and frame.seen.spec.analysis.checks
        if samples is not None and samples.problem and not samples.trial and rollout and holds:
            now = frame.status.get("rollout")
            assert frame.status.get("stableRevision") == before.get("stableRevision")
            assert now is None or now["wave"] <= rollout["wave"] or before["candidateRevision"] != samples.candidate
            new = rejected(frame.status) - rejected(before)
            reasons_of = {r["name"]: r["reason"] for r in frame.status.get("rejectedRevisions") or ()}
            assert not any(reasons_of[name].endswith("TooHigh") for name in new)
        before = frame.status


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_no_node_gets_a_candidate_for_the_first_time_whose_preflight_is_not_over(cell_size: int, story: Story) -> None:
    tale = tell(story, cell_size)
    for number, frame in enumerate(tale.frames):
        preflight = frame.status.get("preflight")
        if preflight is not None and not all("verdict" in item for item in preflight["classes"]):
            assert not any(preflight["revision"] in revisions for _, revisions in added(tale, number))


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_what_fails_its_preflight_never_gets_to_a_node(cell_size: int, story: Story) -> None:
    tale = tell(story, cell_size)
    for number, frame in enumerate(tale.frames):
        preflight = frame.status.get("preflight")
        if preflight is not None and any(item.get("verdict") == "Fail" for item in preflight["classes"]):
            assert preflight["revision"] in rejected(frame.status)
            assert not any(preflight["revision"] in revisions for _, revisions in added(tale, number))


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_conditions_follow_kstatus_and_have_their_generation(cell_size: int, story: Story) -> None:
    for frame in tell(story, cell_size).frames:
        status = status_to_json(frame.decision.status)
        types = [item["type"] for item in status["conditions"]]
        assert len(types) == len(set(types))
        assert "Ready" in types
        assert not {"Reconciling", "Stalled"} <= set(types)
        assert status["observedGeneration"] == frame.seen.generation
        assert all(item["observedGeneration"] == frame.seen.generation for item in status["conditions"])
        ready = next(item for item in status["conditions"] if item["type"] == "Ready")
        assert (ready["status"] == "True") == (not {"Reconciling", "Stalled"} & set(types))


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_when_nothing_happens_any_more_nothing_is_written_any_more(cell_size: int, story: Story) -> None:
    assert tell(story, cell_size).quiet


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_in_the_end_every_online_node_runs_what_is_expected_with_one_pin(cell_size: int, story: Story) -> None:
    tale = tell(story, cell_size)
    world = tale.world
    stable = world.status["stableRevision"]
    selector = world.spec["placement"]["nodeSelector"]["edge"]
    condemned = world.target() in rejected(world.status)
    stalled = world.condition("Stalled")
    wanted = [n for n in world.nodes.values() if n.labels["edge"] == selector and n.architecture == "amd64"]
    cut = {cell_of(node.name, cell_size) for node in wanted if not node.online or node.taints or node.cordoned}
    whole = {node.name for node in wanted if cell_of(node.name, cell_size) not in cut}
    if any(node.name in whole for node in wanted) and not condemned and stalled is None:
        assert stable == world.target()
        assert world.ready_reason() == "Serving"
    for node in world.nodes.values():
        if node not in wanted:
            assert not node.pins
        elif node.name in whole and stable is not None:
            assert world.runs(node.name) == {stable}
            assert len(node.pins) == 1


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_a_pass_asks_for_the_next_at_a_time_to_come(cell_size: int, story: Story) -> None:
    for frame in tell(story, cell_size).frames:
        assert frame.decision.wake_at is None or frame.decision.wake_at > frame.now


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_daemonsets_are_few(cell_size: int, story: Story) -> None:
    """There are at most two variants and their pullers, of stable, the candidate and one that is being left."""
    for frame in tell(story, cell_size).frames:
        assert frame.daemonsets <= 4 * 3


@pytest.mark.parametrize("cell_size", CELL_SIZES)
@given(STORIES)
@in_every_story
def test_the_api_server_takes_every_status(cell_size: int, story: Story) -> None:
    for status in tell(story, cell_size).world.history:
        VALIDATOR.validate({key: value for key, value in status.items() if value is not None})


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a schema that refuses unknown fields: the API server prunes them, after which a status would be written
    again and again."""
    closed = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if "properties" in closed:
        closed["properties"] = {key: _closed(value) for key, value in closed["properties"].items()}
        closed["additionalProperties"] = False
    if "items" in closed:
        closed["items"] = _closed(closed["items"])
    return closed


def _status_validator() -> jsonschema.Draft202012Validator:
    crd = manifests.read(Path("crds/edgemodels.edgemodel.io.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    return jsonschema.Draft202012Validator(_closed(schema))


VALIDATOR = _status_validator()
