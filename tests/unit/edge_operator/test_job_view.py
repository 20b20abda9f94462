"""How a compression Job ended, read off the Job and its pod."""

from typing import Any

from edge_operator import objects
from edge_operator.views import job_view
from edgemodel import reasons
from edgemodel.report import Failed, Published, decode, encode
from edgemodel.task import TASK_VARIABLE, Task
from tests.support.simulation import DIGEST, SETTINGS, Simulation, artifact_report

FAILED = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}


def job(*conditions: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "m-1", "namespace": "vision", "uid": "u", "annotations": {"edgemodel.io/attempt": "2"}}
    return {"kind": "Job", "metadata": meta, "status": {"conditions": list(conditions)}}


def pod(**status: Any) -> dict[str, Any]:
    container = {"name": "compress", "resources": {"limits": {"memory": "64Mi"}}}
    return {
        "metadata": {"name": "m-1-x"},
        "spec": {"activeDeadlineSeconds": 30, "containers": [container]},
        "status": status,
    }


def terminated(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "compress", "state": {"terminated": state}}]


def test_a_running_job_has_no_end() -> None:
    view = job_view(job(), pod(phase="Running"))
    assert (view.ended, view.attempt, view.waits_for) == (None, 2, "")


def test_a_job_says_which_server_its_artifacts_lie_on() -> None:
    observation = Simulation.with_nodes(1).observe()
    made = objects.job(observation, "m-1", 3, observation.spec)
    view = job_view(made, None)
    assert (view.server_image, view.attempt) == (SETTINGS.server_image, 3)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    task = next(item["value"] for item in container["env"] if item["name"] == TASK_VARIABLE)
    assert Task.decode(task).target.base == view.server_image


def test_a_job_of_an_older_operator_does_not_say_so() -> None:
    assert job_view(job(), None).server_image == ""


def test_a_pod_that_finds_no_node_says_what_it_waits_for() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }
    assert "Insufficient memory" in job_view(job(), pod(conditions=[condition])).waits_for


def test_a_pod_whose_image_cannot_be_pulled_says_so() -> None:
    waiting = {"name": "compress", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    assert job_view(job(), pod(containerStatuses=[waiting])).waits_for == "ImagePullBackOff: not found"


def test_a_report_is_read_from_the_termination_message() -> None:
    message = encode(Failed(reasons.SOURCE_NOT_FOUND, "no such model", transient=False)).decode()
    view = job_view(job(FAILED), pod(containerStatuses=terminated(message=message, exitCode=3)))
    assert view.report == Failed(reasons.SOURCE_NOT_FOUND, "no such model", transient=False)
    assert view.ended is not None


def test_a_job_killed_for_memory_names_its_limit() -> None:
    view = job_view(job(FAILED), pod(containerStatuses=terminated(reason="OOMKilled", exitCode=137)))
    assert view.trouble is not None
    assert view.trouble[0] == reasons.OUT_OF_MEMORY
    assert "64Mi" in view.trouble[1]


def test_a_job_past_its_deadline_names_the_deadline() -> None:
    view = job_view(job(FAILED), pod(phase="Failed", reason="DeadlineExceeded"))
    assert view.trouble is not None
    assert view.trouble[0] == reasons.DEADLINE_EXCEEDED
    assert "30 s" in view.trouble[1]


def test_a_traceback_is_no_report() -> None:
    view = job_view(job(FAILED), pod(containerStatuses=terminated(message="Traceback (most recent call last)")))
    assert view.report is None
    assert view.trouble is None


def test_a_job_whose_pod_is_gone_has_no_report() -> None:
    view = job_view(job(FAILED), None)
    assert (view.report, view.trouble, view.waits_for) == (None, None, "")


def test_a_report_that_is_too_long_loses_words_and_no_facts() -> None:
    check = {"name": "c", "verdict": "Fail", "observed": "1", "limit": "2", "sampleCount": 3, "message": "x" * 3000}
    data = encode(Failed(reasons.BUDGET_EXCEEDED, "y" * 5000, transient=False, checks=(check,) * 5))
    assert len(data) <= 4096
    found = decode(data)
    assert isinstance(found, Failed)
    assert len(found.checks) == 5
    assert found.checks[0]["observed"] == "1"


def test_a_published_report_survives_the_way_through_the_cluster() -> None:
    report = Published(DIGEST, (artifact_report("default"),))
    assert decode(encode(report)) == report
