"""The memory and disk of a compression Job, which follow from the size of its source."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_operator import objects
from edge_operator.decide.resources import amount
from edge_operator.from_api.jobs import read_job
from edgemodel import job_size, reasons
from edgemodel.job_input import JobInput
from edgemodel.report import Failed, decode, encode
from tests.support.simulation import Simulation, model_spec

GB = 10**9
LARGE = 4_400_000_000
MIB = 2**20


def job(source_bytes: int | None = None, **changes: Any) -> Any:
    world = Simulation.with_nodes(1, spec=model_spec(**changes))
    observation = world.observe()
    return objects.job(observation, "m-1", 1, observation.spec, source_bytes)


def container(made: Any) -> Any:
    (found,) = made["spec"]["template"]["spec"]["containers"]
    return found


def limit(made: Any) -> int | None:
    variables = {each["name"]: each.get("value") for each in container(made)["env"]}
    return JobInput.decode(variables["EDGEMODEL_JOB_INPUT"]).source_limit_bytes


def work(made: Any) -> Any:
    volumes = {each["name"]: each for each in made["spec"]["template"]["spec"]["volumes"]}
    return volumes["work"]["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize(
    ("source", "memory"), [(0, 0), (GB, 1.6 * GB), (2 * GB, 3.2 * GB), (3 * GB, 3.8 * GB), (LARGE, 4.64 * GB)]
)
def test_memory_grows_less_once_one_tensor_is_handled_at_a_time(source: int, memory: float) -> None:
    assert job_size.memory_bytes(source) == pytest.approx(memory)


STEPS = st.sampled_from([(), ("QuantizeWeights",), ("QuantizeWeights", "QuantizeDynamic")])


@given(st.integers(512 * MIB, 64 * 2**30), st.integers(2**30, 2**40), STEPS)
def test_the_largest_source_is_the_largest_for_which_there_is_room(
    memory: int, disk: int, steps: tuple[str, ...]
) -> None:
    largest = job_size.largest_source(memory, disk, steps)

    def fits(size: int) -> bool:
        peak = job_size.peak_bytes(size, steps) + job_size.PROGRAM_BYTES
        return peak <= memory and job_size.disk_bytes(size) <= disk

    assert fits(largest) or largest == 0
    assert not fits(largest + 8)


def test_a_job_that_does_not_know_its_source_has_what_it_always_had_and_says_how_far_that_goes() -> None:
    made = job()
    assert container(made)["resources"]["limits"]["memory"] == "2Gi"
    assert work(made) == "8Gi"
    assert limit(made) == job_size.largest_source(2 * 2**30, 8 * 2**30, ())


def test_a_job_that_knows_its_source_has_memory_and_disk_for_it() -> None:
    made = job(LARGE)
    resources = container(made)["resources"]
    assert amount(resources["requests"]["memory"]) >= job_size.memory_bytes(LARGE)
    assert amount(resources["limits"]["memory"]) >= job_size.memory_bytes(LARGE) + job_size.PROGRAM_BYTES
    assert amount(work(made)) >= job_size.disk_bytes(LARGE)
    assert limit(made) == LARGE
    assert (
        read_job(
            {**made, "metadata": {**made["metadata"], "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}}
        ).source_bytes
        == LARGE
    )


def test_a_step_that_holds_the_whole_model_has_a_higher_limit_and_the_same_request() -> None:
    streaming, whole = (
        container(job(GB, compression={"steps": [{"name": "one", "type": kind}]}))["resources"]
        for kind in ("QuantizeWeights", "QuantizeDynamic")
    )
    assert streaming["requests"] == whole["requests"]
    assert amount(streaming["limits"]["memory"]) < 3 * GB < 6 * GB < amount(whole["limits"]["memory"])


def test_memory_that_the_spec_names_is_left_alone_and_only_the_disk_limits_the_source() -> None:
    compression = {"resources": {"limits": {"memory": "3Gi"}}}
    assert container(job(LARGE, compression=compression))["resources"]["limits"]["memory"] == "3Gi"
    assert limit(job(compression=compression)) == job_size.largest_source(None, 8 * 2**30, ())


# --- the second Job ---


def test_a_job_that_finds_its_source_too_large_is_followed_at_once_by_one_that_has_the_room() -> None:
    world = Simulation.with_nodes(1, source_bytes=LARGE)
    world.run(45)
    first, second = world.jobs_started
    assert (first[-2:], second[-2:]) == ("-1", "-2")
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    assert len(world.jobs_started) == 2


def test_the_size_is_remembered_when_a_later_job_fails_for_another_reason() -> None:
    world = Simulation.with_nodes(1, source_bytes=LARGE)
    world.job_outcome = Failed(reasons.SOURCE_UNREACHABLE, "no answer", True)
    world.run(300)
    assert len(world.jobs_started) > 3
    world.run(1)
    assert {item.source_bytes for item in world.jobs.values()} == {LARGE}


def test_where_no_node_has_the_room_both_numbers_are_told_and_no_job_waits() -> None:
    world = Simulation.with_nodes(2, source_bytes=LARGE)
    world.nodes = {name: replace(node, memory_bytes=2 * GB, disk_bytes=100 * GB) for name, node in world.nodes.items()}
    world.run(120)
    found = world.condition("Stalled")
    assert found is not None
    assert found["reason"] == reasons.INSUFFICIENT_MEMORY
    assert "a source of 4,400 MB needs 4,641 MB of memory and 18,674 MB of disk" in found["message"]
    assert "has 2,000 MB and 100,000 MB" in found["message"]
    assert len(world.jobs_started) == 1
    world.nodes["camera-1"] = replace(world.nodes["camera-1"], memory_bytes=8 * GB)
    world.run(400)
    assert world.ready_reason() == reasons.SERVING


def test_the_report_carries_the_size() -> None:
    report = Failed(reasons.INSUFFICIENT_MEMORY, "large", True, source_size_bytes=LARGE)
    assert decode(encode(report)) == report
