"""The end of a compression Job, from the Job and its pod."""

from typing import Any

import pytest

from edge_operator import objects
from edge_operator.decide.observation import CompressionJob
from edge_operator.from_api import compression_job, read_job_pod
from edge_operator.from_api import read_job as read_job_object
from edgemodel import reasons
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput
from edgemodel.report import Failed, Published, decode, encode
from edgemodel.verdict import CheckResult, Verdict
from tests.support.simulation import DIGEST, SETTINGS, Simulation, artifact_report

MADE = "2026-01-01T00:00:00Z"
FAILED = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}


def job(*conditions: dict[str, Any]) -> dict[str, Any]:
    meta = {
        "name": "m-1",
        "namespace": "vision",
        "uid": "u",
        "creationTimestamp": MADE,
        "annotations": {"edgemodel.io/attempt": "2"},
    }
    return {"kind": "Job", "metadata": meta, "status": {"conditions": list(conditions)}}


def pod(**status: Any) -> dict[str, Any]:
    container = {"name": "compress", "resources": {"limits": {"memory": "64Mi"}}}
    return {
        "metadata": {"name": "m-1-x", "creationTimestamp": MADE},
        "spec": {"activeDeadlineSeconds": 30, "containers": [container]},
        "status": status,
    }


def read_job(job: dict[str, Any], pod: dict[str, Any] | None) -> CompressionJob:
    return compression_job(read_job_object(job), read_job_pod(pod) if pod is not None else None)


def terminated(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "compress", "state": {"terminated": state}}]


def test_a_running_job_has_no_end() -> None:
    view = read_job(job(), pod(phase="Running"))
    assert (view.ended, view.attempt, view.waits_for) == (None, 2, "")


def test_a_job_records_the_server_that_its_artifacts_are_put_on() -> None:
    observation = Simulation.with_nodes(1).observe()
    made = objects.job(observation, "m-1", 3, observation.spec)
    made["metadata"] |= {"uid": "u", "creationTimestamp": MADE}
    view = read_job(made, None)
    assert (view.server_image, view.attempt) == (SETTINGS.server_image, 3)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    given = next(item["value"] for item in container["env"] if item["name"] == JOB_INPUT_VARIABLE)
    assert JobInput.decode(given).target.base == view.server_image


def test_a_job_of_an_older_operator_does_not_say_so() -> None:
    assert read_job(job(), None).server_image == ""


def test_the_reason_why_a_pod_finds_no_node_is_shown() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }
    assert "Insufficient memory" in read_job(job(), pod(conditions=[condition])).waits_for


def test_a_pod_whose_image_cannot_be_pulled_is_reported() -> None:
    waiting = {"name": "compress", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    waits_for = read_job(job(), pod(containerStatuses=[waiting])).waits_for
    assert waits_for.startswith("the node cannot pull ")
    assert waits_for.endswith("; ImagePullBackOff: not found")


def test_a_report_is_read_from_the_termination_message() -> None:
    message = encode(Failed(reasons.SOURCE_NOT_FOUND, "no such model", transient=False)).decode()
    view = read_job(job(FAILED), pod(containerStatuses=terminated(message=message, exitCode=3)))
    assert view.report == Failed(reasons.SOURCE_NOT_FOUND, "no such model", transient=False)
    assert view.ended is not None


def test_a_job_killed_for_memory_names_its_limit() -> None:
    view = read_job(job(FAILED), pod(containerStatuses=terminated(reason="OOMKilled", exitCode=137)))
    assert view.trouble is not None
    assert view.trouble[0] == reasons.OUT_OF_MEMORY
    assert "64Mi" in view.trouble[1]


def test_a_job_past_its_deadline_names_the_deadline() -> None:
    view = read_job(job(FAILED), pod(phase="Failed", reason="DeadlineExceeded"))
    assert view.trouble is not None
    assert view.trouble[0] == reasons.DEADLINE_EXCEEDED
    assert "30 s" in view.trouble[1]


def test_a_traceback_is_not_a_report() -> None:
    view = read_job(job(FAILED), pod(containerStatuses=terminated(message="Traceback (most recent call last)")))
    assert view.report is None
    assert view.trouble is None


def test_a_job_whose_pod_is_gone_has_no_report() -> None:
    view = read_job(job(FAILED), None)
    assert (view.report, view.trouble, view.waits_for) == (None, None, "")


def test_a_report_that_is_too_long_loses_texts_but_no_facts() -> None:
    check = CheckResult("c", Verdict.FAIL, observed="1", limit="2", sample_count=3, message="x" * 3000)
    data = encode(Failed(reasons.BUDGET_EXCEEDED, "y" * 5000, transient=False, checks=(check,) * 5))
    assert len(data) <= 4096
    found = decode(data)
    assert isinstance(found, Failed)
    assert len(found.checks) == 5
    assert found.checks[0].observed == "1"


def test_a_published_report_survives_the_way_through_the_cluster() -> None:
    report = Published(DIGEST, (artifact_report("default"),))
    assert decode(encode(report)) == report


IMAGE = "registry.example/converters/maker@sha256:" + "a" * 64
PASSED = {"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:00:00Z"}}
RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAITING = {"waiting": {"reason": "PodInitializing"}}


def ended(code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "startedAt": "2026-01-01T00:00:00Z", **more}}


def converter_pod(fetch: Any, converter: Any = WAITING, compress: Any = WAITING, **status: Any) -> dict[str, Any]:
    """Returns a pod that runs a user's converter, whose containers are in these states."""
    made = pod(
        initContainerStatuses=[{"name": "fetch", "state": fetch}, {"name": "converter", "state": converter}],
        containerStatuses=[{"name": "compress", "state": compress}],
        **status,
    )
    limits = {"limits": {"memory": "32Mi"}}
    made["spec"]["initContainers"] = [{"name": "fetch"}, {"name": "converter", "image": IMAGE, "resources": limits}]
    return made


@pytest.mark.parametrize(
    ("states", "doing"),
    [
        ((WAITING,), ""),
        ((RUNNING,), "fetching the input of the converter"),
        ((PASSED,), ""),
        ((PASSED, RUNNING), f"running the converter {IMAGE}"),
        ((PASSED, PASSED, RUNNING), ""),
    ],
)
def test_a_jobs_work_before_the_first_step_is_shown(states: Any, doing: str) -> None:
    assert read_job(job(), converter_pod(*states)).doing == doing


def test_the_reason_why_a_converters_image_cannot_be_pulled_is_shown() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    view = read_job(job(), converter_pod(PASSED, waiting))
    assert view.waits_for.startswith(f"the node cannot pull {IMAGE}: registry.example has no such image: push it")
    assert view.doing == ""
    assert view.pull is not None
    assert view.pull.is_final


def test_a_failed_fetch_for_a_converter_is_reported_as_by_any_job() -> None:
    report = Failed(reasons.SOURCE_UNREACHABLE, "no answer", transient=True)
    view = read_job(job(FAILED), converter_pod(ended(4, message=encode(report).decode())))
    assert (view.report, view.trouble) == (report, None)


def test_the_report_of_a_job_that_ran_a_converter_is_that_of_its_last_container() -> None:
    report = Published(DIGEST, (artifact_report("default"),), DIGEST)
    view = read_job(job(FAILED), converter_pod(PASSED, PASSED, ended(0, message=encode(report).decode())))
    assert (view.report, view.trouble) == (report, None)


def test_a_failed_converter_is_reported_with_its_exit_code_and_the_end_of_its_log() -> None:
    log = "".join(f"line {number}\n" for number in range(200)) + "KeyError: 'layer.weight'\n"
    view = read_job(job(FAILED), converter_pod(PASSED, ended(1, message=log)))
    assert view.trouble is not None
    reason, message = view.trouble
    assert reason == reasons.CONVERTER_FAILED
    assert message.startswith(f"the converter {IMAGE} ended with exit code 1; its log ends: ")
    assert message.endswith("line 199 KeyError: 'layer.weight'")
    assert len(message) < 1000


def test_a_converter_without_a_log_is_reported() -> None:
    view = read_job(job(FAILED), converter_pod(PASSED, ended(139, reason="Error")))
    message = f"the converter {IMAGE} ended with exit code 139; it has logged nothing"
    assert view.trouble == (reasons.CONVERTER_FAILED, message)


def test_the_output_of_a_converter_is_not_a_report() -> None:
    """The converter may write anything, even a report."""
    forged = encode(Published(DIGEST, (artifact_report("default"),))).decode()
    view = read_job(job(FAILED), converter_pod(PASSED, ended(1, message=forged)))
    assert view.report is None
    assert view.trouble is not None
    assert view.trouble[0] == reasons.CONVERTER_FAILED


def test_a_converter_killed_for_memory_names_its_own_limit() -> None:
    view = read_job(job(FAILED), converter_pod(PASSED, ended(137, reason="OOMKilled")))
    message = f"the converter {IMAGE} was killed at 32Mi of memory; raise spec.source.converter.resources.limits.memory"
    assert view.trouble == (reasons.OUT_OF_MEMORY, message)


def test_a_converter_that_runs_past_the_deadline_is_named_with_it() -> None:
    view = read_job(job(FAILED), converter_pod(PASSED, ended(137), reason="DeadlineExceeded"))
    message = f"the converter {IMAGE} still ran after spec.compression.deadlineSeconds (30 s)"
    assert view.trouble == (reasons.DEADLINE_EXCEEDED, message)


@pytest.mark.parametrize(
    "state",
    [
        {"waiting": {"reason": "ErrImagePull", "message": "registry.example: no such host"}},
        {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}},
    ],
    ids=["waiting", "terminated"],
)
def test_a_converter_whose_image_is_not_pulled_by_the_deadline_is_reported(state: Any) -> None:
    view = read_job(job(FAILED), converter_pod(PASSED, state, reason="DeadlineExceeded"))
    assert view.trouble is not None
    reason, message = view.trouble
    assert reason == reasons.IMAGE_PULL_FAILED
    assert message.startswith(f"the converter {IMAGE} was not pulled within spec.compression.deadlineSeconds (30 s)")
    assert message.endswith("no such host" if "waiting" in state else "could not be started")


def test_a_converter_that_fills_its_volume_is_reported() -> None:
    said = 'Usage of EmptyDir volume "made" exceeds the limit "4Gi". '
    view = read_job(job(FAILED), converter_pod(PASSED, ended(137), reason="Evicted", message=said))
    message = f"the converter {IMAGE} wrote more than there is room for: {said.strip()}"
    assert view.trouble == (reasons.CONVERTER_FAILED, message)


@pytest.mark.parametrize("reason", ["Evicted", "NodeShutdown"])
def test_a_converter_that_was_taken_off_its_node_has_not_failed(reason: str) -> None:
    taken = converter_pod(PASSED, ended(137), reason=reason, message="The node was low on resource: memory.")
    assert read_job(job(FAILED), taken).trouble is None


def test_a_converter_whose_pod_was_deleted_has_not_failed() -> None:
    deleted = converter_pod(PASSED, ended(143))
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    view = read_job(job(), deleted)
    assert view.ended is not None
    assert view.trouble is None


def test_an_injected_container_says_nothing_about_the_job() -> None:
    report = Failed(reasons.STEP_FAILED, "no", transient=False)
    made = pod(
        initContainerStatuses=[{"name": "proxy", "state": RUNNING}],
        containerStatuses=terminated(message=encode(report).decode(), exitCode=3),
    )
    assert read_job(job(FAILED), made).report == report
