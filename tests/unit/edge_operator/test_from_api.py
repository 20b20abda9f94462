"""Pods and nodes in the unusual states in which an API server may show them."""

from typing import Any

import pytest

from edge_operator.from_api import kubelet, read_node, read_server_pod
from edgemodel import reasons
from edgemodel.names import LABEL_REVISION, LABEL_VARIANT

SAID = '{"reason": "%s", "message": "no"}'
NO_ROOM = "0/3 nodes are available: 3 Insufficient memory."
NO_SECRET = {"reason": "CreateContainerConfigError", "message": 'secret "token" not found'}
ENDED = {"exitCode": 1, "reason": "Error"}


def pod(status: dict[str, Any]) -> dict[str, Any]:
    labels = {LABEL_REVISION: "m-1", LABEL_VARIANT: "default"}
    meta = {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels}
    return {"kind": "Pod", "metadata": meta, "spec": {"nodeName": "camera-1"}, "status": status}


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({}, None),
        ({"phase": "Pending", "containerStatuses": None, "conditions": None}, None),
        ({"phase": "Unknown", "reason": "NodeLost"}, None),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "Unknown"}]}, None),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": None}]}, None),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
            (reasons.POD_EVICTED, "Evicted: low on memory"),
        ),
        ({"phase": "Failed"}, (reasons.POD_FAILED, "the pod has failed")),
        ({"phase": "Failed", "reason": "Unheard", "message": "of"}, (reasons.POD_FAILED, "Unheard: of")),
        (
            {"containerStatuses": [{"state": {"terminated": {**ENDED, "message": SAID % reasons.MODEL_LOAD_FAILED}}}]},
            (reasons.MODEL_LOAD_FAILED, "no"),
        ),
        (
            {"containerStatuses": [{"state": {"terminated": {**ENDED, "message": SAID % "Invented"}}}]},
            (reasons.CRASH_LOOP, "Invented: no"),
        ),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": NO_ROOM}]},
            (reasons.UNSCHEDULABLE, NO_ROOM),
        ),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": NO_SECRET}}]},
            (reasons.CONTAINER_NOT_STARTED, 'CreateContainerConfigError: secret "token" not found'),
        ),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "RunContainerError"}}}]},
            (reasons.CONTAINER_NOT_STARTED, "RunContainerError"),
        ),
        ({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}, None),
        (
            {"containerStatuses": [{"restartCount": 1, "state": None, "lastState": {"terminated": ENDED}}]},
            (reasons.CRASH_LOOP, "the server ends again and again (Error, exit code 1)"),
        ),
        (
            {"containerStatuses": [{"restartCount": 1, "state": {"terminated": {**ENDED, "message": None}}}]},
            (reasons.CRASH_LOOP, "the server ends again and again (Error, exit code 1)"),
        ),
    ],
)
def test_a_pod_in_an_unusual_state_is_not_ready_with_the_reason_if_known(
    status: dict[str, Any], trouble: tuple[str, str] | None
) -> None:
    view = read_server_pod(pod(status))
    assert not view.ready
    assert view.ready_since is None
    assert view.trouble == trouble


def test_a_node_of_which_nothing_is_known_is_offline() -> None:
    view = read_node({"kind": "Node", "metadata": {"name": "n", "uid": "u", "labels": None}, "status": {}})
    assert not view.online
    assert not view.pins


@pytest.mark.parametrize("word", [*kubelet.CONTAINER_REASONS, *kubelet.POD_REASONS])
def test_no_word_of_the_kubelet_is_a_reason_unless_it_is_documented_as_one(word: str) -> None:
    assert kubelet.container_reason(word) in {*reasons.REASONS, None}
    assert kubelet.pod_reason(word) in reasons.REASONS
