"""Nodes on which no pod can be created, and pods that cannot be created, with a real scheduler and real admission."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgemodel import reasons
from examples.lab import serving
from tests.support.edge_models import Workspace, publish_mlp
from tests.support.live import CAMERAS

TAINT = "edgemodel.test/maintenance:NoSchedule"


@contextmanager
def tainted(work: Workspace, node: str) -> Iterator[None]:
    work.site.kubectl("taint", "node", node, TAINT)
    try:
        yield
    finally:
        work.site.kubectl("taint", "node", node, f"{TAINT}-")


def set_quota(work: Workspace, **hard: str) -> None:
    spec = {"hard": {name.replace("_", "."): amount for name, amount in hard.items()}}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "share"}, "spec": spec}
    work.site.kubectl("apply", "-n", work.namespace, "-f", "-", stdin=json.dumps(body))


@pytest.mark.exclusive
def test_a_rollout_completes_without_a_tainted_node_which_serves_on_and_catches_up(work: Workspace) -> None:
    healthy, fenced = CAMERAS
    work.apply(source={"uri": publish_mlp(work, "first", 1)})
    first = work.ready()["status"]["stableRevision"]
    with tainted(work, fenced):
        work.apply(source={"uri": publish_mlp(work, "second", 7)})
        status = work.ready()["status"]
        second = status["stableRevision"]
        assert work.revisions_on_nodes() == {healthy: second, fenced: first}
        pending = serving.condition(work.get(), "NodesPending")
        assert pending is not None
        assert pending["reason"] == reasons.NODES_SET_ASIDE
        assert pending["message"] == f"1 of 2 set aside: {fenced} (tainted {TAINT})"
        assert not status["rejectedRevisions"]
    work.wait("the node to catch up", lambda: work.revisions_on_nodes() == dict.fromkeys(CAMERAS, second))


def test_a_quota_that_refuses_the_job_is_quoted_and_one_that_demands_all_resources_is_satisfied(
    work: Workspace,
) -> None:
    set_quota(work, limits_cpu="1")
    work.apply(source={"uri": publish_mlp(work, "model")})
    message = work.stalled(reasons.POD_REFUSED, seconds=60)
    assert "no pod is made for Job m-" in message
    assert "quota: share" in message
    assert "or lower spec.compression.resources" in message
    set_quota(work, limits_cpu="64", limits_memory="32Gi", requests_cpu="4", requests_memory="8Gi")
    work.ready()
    assert work.revisions_on_nodes().keys() == set(CAMERAS)
