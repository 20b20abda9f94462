"""The time at which a newer server image reaches EdgeModels that run an older one."""

from dataclasses import replace

import pytest

from edgemodel import reasons
from tests.support.simulation import SETTINGS, Simulation, built_once

pytestmark = pytest.mark.slow

NEWER = "registry.example/server@sha256:" + "9" * 64


@built_once
def installed() -> Simulation:
    world = Simulation.with_nodes(3)
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    return world


@built_once
def compressing(published: bool) -> Simulation:
    """Returns a simulation with a Job that runs, or that has published what no pass has recorded yet."""
    world = Simulation.with_nodes(3)
    world.run(world.job_seconds + 1 if published else 5)
    (job,) = world.jobs.values()
    assert job.succeeded is published
    assert not world.revisions
    return world


def upgrade(world: Simulation, immediate: bool) -> None:
    world.settings = replace(SETTINGS, server_image=NEWER, upgrade_servers=immediate)


def test_an_upgrade_of_the_operator_starts_no_rollout() -> None:
    world = installed()
    stable, pins, jobs = world.status["stableRevision"], len(world.pin_log), len(world.jobs_started)
    upgrade(world, immediate=False)
    world.run(300)
    assert world.status["stableRevision"] == stable
    assert (len(world.pin_log), len(world.jobs_started)) == (pins, jobs)


def test_the_next_compression_brings_the_newer_server() -> None:
    world = installed()
    upgrade(world, immediate=False)
    world.new_source("b")
    world.run(400)
    assert world.revisions[world.status["stableRevision"]].spec.server_image == NEWER


def test_with_immediate_a_new_revision_goes_through_the_same_waves() -> None:
    world = installed()
    before = world.status["stableRevision"]
    upgrade(world, immediate=True)
    world.run(30)
    assert world.status["stableRevision"] == before
    assert len(world.jobs_started) == 2
    assert len(set(world.jobs_started)) == 2
    assert sum(world.target() in world.pinned(node) for node in world.nodes) == 1
    world.run(400)
    after = world.status["stableRevision"]
    assert after != before
    assert world.revisions[after].spec.server_image == NEWER
    assert world.revisions[after].spec.spec_hash == world.revisions[before].spec.spec_hash
    assert all(world.runs(node) == {after} for node in world.nodes)


def test_each_model_is_upgraded_once() -> None:
    world = installed()
    upgrade(world, immediate=True)
    world.run(400)
    pins, jobs = len(world.pin_log), len(world.jobs_started)
    world.run(400)
    assert (len(world.pin_log), len(world.jobs_started)) == (pins, jobs)


def test_a_revision_that_is_on_the_image_already_is_not_made_again() -> None:
    world = installed()
    world.settings = replace(SETTINGS, upgrade_servers=True)
    pins = len(world.pin_log)
    world.run(300)
    assert len(world.pin_log) == pins


@pytest.mark.parametrize("immediate", [False, True])
def test_an_upgraded_model_stays_when_the_value_is_reverted(immediate: bool) -> None:
    world = installed()
    upgrade(world, immediate=True)
    world.run(400)
    upgraded, pins = world.status["stableRevision"], len(world.pin_log)
    upgrade(world, immediate)
    world.run(300)
    assert world.status["stableRevision"] == upgraded
    assert len(world.pin_log) == pins


def test_a_newer_server_that_does_not_get_ready_is_rolled_back_to_the_older_one() -> None:
    world = installed()
    before = world.status["stableRevision"]
    upgrade(world, immediate=True)
    world.step()
    world.trouble[world.target()] = (reasons.CRASH_LOOP, "the server ended 3 times")
    world.run(300)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(world.runs(node) == {before} for node in world.nodes)
    upgrade(world, immediate=False)
    world.run(30)
    assert world.ready_reason() == reasons.SERVING


def test_artifacts_on_an_older_server_do_not_pass_for_those_on_the_newer_one() -> None:
    """A change of serving settings alone takes the artifacts of its twin; with Immediate these have to be on the new
    image."""
    world = installed()
    upgrade(world, immediate=True)
    world.change(serving={"resources": {"limits": {"memory": "300Mi"}}})
    world.run(400)
    assert world.revisions[world.status["stableRevision"]].spec.server_image == NEWER
    assert len(world.jobs_started) == 2


@pytest.mark.parametrize("published", [False, True], ids=["running", "published-and-unrecorded"])
def test_an_upgrade_after_a_job_began_does_not_change_what_its_artifacts_lie_on(published: bool) -> None:
    world = compressing(published)
    upgrade(world, immediate=False)
    world.run(400)
    assert len(world.jobs_started) == 1
    assert world.revisions[world.status["stableRevision"]].spec.server_image == SETTINGS.server_image


@pytest.mark.parametrize("published", [False, True], ids=["running", "published-and-unrecorded"])
def test_what_a_job_put_onto_the_older_server_is_upgraded_by_a_further_revision(published: bool) -> None:
    world = compressing(published)
    upgrade(world, immediate=True)
    world.run(60)
    older, newer = sorted(world.revisions.values(), key=lambda revision: revision.created)
    assert older.spec.server_image == SETTINGS.server_image
    assert newer.spec.server_image == NEWER
    assert newer.spec.spec_hash == older.spec.spec_hash
    world.run(400)
    assert world.status["stableRevision"] == newer.name
    assert world.runs("camera-1") == {newer.name}
    assert len(world.jobs_started) == 2


def test_for_the_job_of_an_older_operator_the_chart_names_the_server() -> None:
    world = compressing(published=False)
    world.jobs = {name: replace(job, server_image="") for name, job in world.jobs.items()}
    upgrade(world, immediate=False)
    world.run(60)
    assert [revision.spec.server_image for revision in world.revisions.values()] == [NEWER]


LAYER, NEWER_LAYER = (f"registry.example/layers/x@sha256:{digit * 64}" for digit in "12")


@built_once
def layered() -> Simulation:
    """Returns a fleet on artifacts that lie on a named layer."""
    world = Simulation.with_nodes(3, server_layers={"x": LAYER})
    world.settings = replace(SETTINGS, upgrade_servers=True, server_layers={"x": LAYER, "unused": LAYER})
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    return world


def test_a_newer_layer_that_the_artifacts_lie_on_is_rolled_out_once() -> None:
    world = layered()
    before = world.status["stableRevision"]
    world.server_layers = {"x": NEWER_LAYER}
    world.settings = replace(world.settings, server_layers={"x": NEWER_LAYER, "unused": LAYER})
    world.run(800)
    after = world.status["stableRevision"]
    assert after != before
    assert world.revisions[after].spec.variants[-1].artifact.server_layers == {"x": NEWER_LAYER}
    assert all(world.runs(node) == {after} for node in world.nodes)
    assert len(world.jobs_started) == 2


@pytest.mark.parametrize("layers", [{"x": LAYER, "unused": NEWER_LAYER}, {}], ids=["of-others", "not-named-any-more"])
def test_another_layer_changes_nothing(layers: dict[str, str]) -> None:
    world = layered()
    pins, jobs = len(world.pin_log), len(world.jobs_started)
    world.settings = replace(world.settings, server_layers=layers)
    world.run(400)
    assert (len(world.pin_log), len(world.jobs_started)) == (pins, jobs)
