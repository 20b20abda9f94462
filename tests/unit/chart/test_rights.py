"""The operator has exactly the rights that it needs, by its requests to an API server, including kopf's."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import aiohttp
import pytest
import yaml
from kubernetes.aio import client

from edge_operator import __main__ as operator
from edge_operator import reconcile
from edge_operator.cluster import Cluster, lease
from edge_operator.decide import Decision
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
from edge_operator.decide.observation import Observation
from edge_operator.job_endpoints.registry_tokens import SERVICE
from edge_operator.prometheus import PrometheusSettings
from edge_operator.settings import ProcessSettings
from edgemodel.names import (
    ANNOTATION_TO_FREE,
    API_VERSION,
    COMPONENT_PREFLIGHT,
    LABEL_COMPONENT,
    LABEL_MODEL,
    PIN_PREFIX,
)
from edgemodel.status import PreflightResult, parse_status
from edgemodel.verdict import Verdict
from examples.lab.ports import free_port
from examples.lab.waiting import wait_for
from tests.support.simulation import SETTINGS, Simulation, model_spec
from tests.unit.chart.api_server import ApiServer
from tests.unit.chart.rendering import NAMESPACE, Object, of_kind, render, rights

pytestmark = pytest.mark.lab_programs

SECONDS = 30
REGISTRY = "em-registry"
Right = tuple[bool, str, str]
"""A right: (True if only in the operator's own namespace; ``<group>/<resource>``; verb)."""
FOR_A_STRICT_CLUSTER = {(False, "/services", "delete"), (False, "networking.k8s.io/networkpolicies", "delete")}
"""The rights that an admission plugin, which not all clusters have, demands for changes of owners."""


async def test_the_operator_has_the_rights_that_it_needs_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = granted(render()) - FOR_A_STRICT_CLUSTER
    monkeypatch.setattr(reconcile, "decide", everything)
    monkeypatch.setattr(operator, "COLLECT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "RENEW", timedelta(seconds=0.1))
    server, port = ApiServer(there()), free_port()
    with server.serving(port):
        async with working(f"http://127.0.0.1:{port}", monkeypatch, tmp_path) as token_port:
            await ask_for_a_token(token_port)
            with contextlib.suppress(TimeoutError):
                await asyncio.to_thread(
                    wait_for, "all rights to be used", lambda: needed(server) == expected, timeout_s=SECONDS
                )
    assert needed(server) == expected


def needed(server: ApiServer) -> set[Right]:
    return {(namespace == NAMESPACE, resource, verb) for namespace, resource, verb in server.needed.copy()}


def granted(objects: list[Object]) -> set[Right]:
    roles = (*of_kind(objects, "ClusterRole"), *of_kind(objects, "Role"))
    return {
        (role["kind"] == "Role", resource, verb)
        for role in roles
        for resource, verbs in rights(role).items()
        for verb in verbs
    }


def everything(observation: Observation, _: datetime) -> Decision:
    """Returns a decision with every possible action, and a status that differs from the stored one."""
    world = Simulation.with_nodes(1, spec=model_spec(serving={"shadowReplay": {"maxRequests": 1}}))
    world.run(60)
    (revision,) = world.revisions.values()
    actions: tuple[Action, ...] = (
        StartJob("m-1", 1, observation.spec),
        RecordRevision(revision.name, revision.spec),
        RecordVerdict(revision.name, Verdict.PASS, "Promoted", ""),
        StartPreflight("m-2", 1, revision, "default", "camera-1", timedelta(seconds=600)),
        RecordPreflight(revision.name, PreflightResult(())),
        EnsureReplaySecret(),
        EnsureDaemonSet(revision, "default"),
        EnsureService(8080),
        EnsureNetworkPolicies(),
        SetPins("camera-1", frozenset({PIN_PREFIX + "0" * 40})),
        DeleteJob("old"),
        DeleteDaemonSet("old"),
        DeleteRevision("old"),
    )
    assert {type(action) for action in actions} == set(get_args(Action))
    return Decision(parse_status(world.status), actions, None)


def there() -> dict[str, Object]:
    """Returns the objects that the operator finds, by path."""
    known = {"resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    model = {"namespace": "vision", "name": "m", "uid": "uid-m", "generation": 1, **known}
    node = {"name": "camera-1", "uid": "uid-camera-1", "labels": {"edge": "camera"}, **known}
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    of_preflight = {LABEL_MODEL: "m", LABEL_COMPONENT: COMPONENT_PREFLIGHT}
    podless = {"namespace": "vision", "name": "m-3", "uid": "uid-m-3", "labels": of_preflight, **known}
    job = {"namespace": "vision", "name": "m-1", "uid": "uid-m-1", "labels": {LABEL_MODEL: "m"}, **known}
    registry = {"namespace": NAMESPACE, "name": REGISTRY, "annotations": {ANNOTATION_TO_FREE: "true"}, **known}
    return {
        f"/apis/{API_VERSION}/namespaces/vision/edgemodels/m": {
            "kind": "EdgeModel",
            "metadata": model,
            "spec": model_spec(),
        },
        "/apis/batch/v1/namespaces/vision/jobs/m-1": {
            "kind": "Job",
            "metadata": job,
            "status": {"conditions": [ended]},
        },
        "/apis/batch/v1/namespaces/vision/jobs/m-3": {"kind": "Job", "metadata": podless},
        "/api/v1/nodes/camera-1": {"kind": "Node", "metadata": node},
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{REGISTRY}": {
            "metadata": registry,
            "spec": {"template": {"metadata": {}}},
        },
    }


@contextlib.asynccontextmanager
async def working(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[int]:
    """Yields the port of the token endpoint of the complete operator, with the API server at ``url``."""

    async def connect() -> Cluster:
        return Cluster(client.ApiClient(client.Configuration(host=url)))

    cluster = {"name": "c", "cluster": {"server": url}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    kubeconfig = {"current-context": "x", "clusters": [cluster], "contexts": [context], "users": [user]}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(Cluster, "connect", connect)
    nowhere = f"127.0.0.1:{free_port()}"
    config = ProcessSettings(
        namespace=NAMESPACE,
        identity="me",
        decisions=replace(SETTINGS, registry_push=nowhere),
        json_logs=False,
        prometheus=PrometheusSettings(f"http://{nowhere}"),
        registry_deployment=REGISTRY,
        http_port=free_port(),
        token_port=free_port(),
    )
    task = asyncio.create_task(operator.run(config))
    try:
        yield config.token_port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ask_for_a_token(port: int) -> None:
    """Requests a token as a push does, once the endpoint listens."""

    def listens() -> bool:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    await asyncio.to_thread(wait_for, "the token endpoint", listens, timeout_s=SECONDS, interval_s=0.1)
    url = f"http://127.0.0.1:{port}/token?service={SERVICE}"
    headers = {"Authorization": "Basic " + base64.b64encode(b"any:token").decode()}
    async with aiohttp.ClientSession(headers=headers) as session:
        await session.get(url)
