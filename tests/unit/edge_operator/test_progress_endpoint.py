"""A Job reports the step that it begins, over real HTTP, and the EdgeModel's status shows it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edge_compressor.job.report_progress import report_progress
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide import decide
from edge_operator.decide.actions import StartJob
from edge_operator.job_endpoints.progress import POD_NAME, progress_handler, reviewed_pod
from edgemodel import reasons
from edgemodel.errors import Transient
from edgemodel.names import API_VERSION, COMPONENT_COMPRESSOR, LABEL_COMPONENT, LABEL_MODEL, REGISTRY_AUDIENCE
from edgemodel.progress import StepBegun
from tests.support.simulation import SETTINGS, model_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ("vision", "m")
RECOVER = StepBegun("recover", "Distill", 2, 4)
PODS = {"of-the-job": ("vision", "m-1-x"), "of-another": ("audio", "m-1-x"), "of-no-job": ("vision", "shell")}


class Site:
    """An operator that knows one EdgeModel, the Job that it started and its pod."""

    def __init__(self) -> None:
        self.changed: list[Key] = []
        self.cache = ClusterCache(SETTINGS, self.changed.append)
        self.see("EdgeModel", "m", spec=model_spec(), generation=1)
        (start,) = [action for action in self.decision().actions if isinstance(action, StartJob)]
        self.job = start.name
        self.see("Job", self.job, status={})
        self.pod = self.see("Pod", "m-1-x", status={"phase": "Running"}, owner=f"uid-{self.job}")
        self.changed.clear()

    def see(self, kind: str, name: str, owner: str = "", generation: int = 0, **fields: Any) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "namespace": "vision",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {LABEL_MODEL: "m", LABEL_COMPONENT: COMPONENT_COMPRESSOR},
        }
        if owner:
            meta["ownerReferences"] = [{"kind": "Job", "name": "m", "uid": owner}]
        raw = {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, **fields}
        self.cache.see(raw)
        return raw

    def decision(self) -> Any:
        observation = self.cache.observe(KEY)
        assert observation is not None
        return decide(observation, NOW)

    def says(self) -> str:
        """Returns the message of the condition about the compression."""
        conditions = {item.type: item for item in self.decision().status.conditions}
        assert conditions["ArtifactReady"].reason == reasons.COMPRESSING
        return str(conditions["ArtifactReady"].message)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def url(site: Site) -> AsyncIterator[str]:
    async def review(token: str) -> tuple[str, str] | None:
        if token == "api-server-away":
            raise Transient("ApiServerUnreachable", "connection refused")
        return PODS.get(token)

    app = web.Application()
    app.router.add_post("/progress", progress_handler(review, site.cache.set_progress))
    async with TestServer(app) as server:
        yield str(server.make_url("/progress"))


async def told(url: str, folder: Path, token: str, step: StepBegun = RECOVER) -> str:
    """Returns the compressor's message about its report; empty if all is well."""
    file = folder / "token"
    file.write_text(f"{token}\n")
    return await asyncio.to_thread(report_progress, url, file, step)


async def test_the_status_says_which_step_the_job_is_at(site: Site, url: str, tmp_path: Path) -> None:
    before = site.says()
    assert before == f"Job {site.job} runs (attempt 1)"
    assert await told(url, tmp_path, "of-the-job") == ""
    assert site.says() == f"{before}; step 2 of 4: recover (Distill)"
    assert site.changed == [KEY]


async def test_a_repeated_report_of_a_step_starts_no_pass(site: Site, url: str, tmp_path: Path) -> None:
    for _ in range(2):
        assert await told(url, tmp_path, "of-the-job") == ""
    assert site.changed == [KEY]


async def test_the_reports_of_a_pod_are_forgotten_with_it(site: Site, url: str, tmp_path: Path) -> None:
    before = site.says()
    assert await told(url, tmp_path, "of-the-job") == ""
    site.cache.forget(site.pod)
    assert site.says() == before
    site.see("Pod", "m-1-x", status={"phase": "Running"}, owner=f"uid-{site.job}")
    assert site.says() == before


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("of-another", "HTTP 404: audio/m-1-x is not a pod of a running compression Job"),
        ("of-no-job", "HTTP 404: vision/shell is not a pod of a running compression Job"),
        ("made-up", "HTTP 401: the token belongs to no pod"),
        ("api-server-away", "HTTP 503: the token cannot be checked now: connection refused"),
    ],
)
async def test_no_other_pod_can_report_for_this_job(
    site: Site, url: str, tmp_path: Path, token: str, said: str
) -> None:
    before = site.says()
    assert await told(url, tmp_path, token) == said
    assert site.says() == before
    assert not site.changed


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic b2Y6dGhlLWpvYg=="}, {"Authorization": "Bearer "}])
async def test_without_a_token_nothing_is_accepted(site: Site, url: str, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session, session.post(url, data=RECOVER.encode(), headers=headers) as answer:
        assert answer.status == 401
    assert not site.changed


async def test_invalid_steps_are_refused(site: Site, url: str) -> None:
    headers, told = {"Authorization": "Bearer of-the-job"}, b'{"step": "<script>", "type": "X", "number": 1, "of": 1}'
    async with aiohttp.ClientSession() as session, session.post(url, data=told, headers=headers) as answer:
        assert answer.status == 400
    assert not site.changed


async def test_an_unreachable_operator_is_reported_in_one_line(tmp_path: Path) -> None:
    said = await told("http://127.0.0.1:9/progress", tmp_path, "of-the-job")
    assert "nothing listens there" in said
    assert "\n" not in said


async def test_a_token_that_is_not_mounted_is_reported(url: str, tmp_path: Path) -> None:
    said = await asyncio.to_thread(report_progress, url, tmp_path / "missing", RECOVER)
    assert said.endswith("missing cannot be read: there is no such file or folder")


def test_the_api_servers_answer_names_the_pod() -> None:
    user = {"username": "system:serviceaccount:vision:default", "extra": {POD_NAME: ["m-1-x"]}}
    status = {"authenticated": True, "audiences": [REGISTRY_AUDIENCE], "user": user}
    assert reviewed_pod({"status": status}) == ("vision", "m-1-x")
    for missing in ({"authenticated": False}, {"audiences": []}, {"user": {**user, "extra": {}}}, {"user": {}}):
        assert reviewed_pod({"status": status | missing}) is None
