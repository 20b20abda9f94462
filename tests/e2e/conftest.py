"""The site that the tests share (installed by ``make e2e`` before they start), and a namespace for each test."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lab.site import BUILD, Site, SiteError, find_site
from tests.support.edge_models import Workspace
from tests.support.recorder import Recorder

TIMELINES = BUILD / "e2e" / "timelines"


LONGEST_FIRST = (
    "test_training",
    "test_language",
    "test_converters",
    "test_tutorials",
    "test_examples",
    "test_verdicts",
    "test_rollout",
)
"""The files in the order of their duration, so that at the end no worker runs long after the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        name = item.path.stem
        return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def site() -> Site:
    found = find_site()
    found.kubectl("get", "deployment", "edgemodel-operator", "-n", "edgemodel-system")
    return found


@pytest.fixture
def work(site: Site, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    """Yields a workspace, which is deleted at the end, without waiting; its contents are printed if the test failed.

    All statuses of its EdgeModels are recorded, and have to satisfy kstatus at every step. The timeline is in
    ``build/e2e/timelines``.
    """
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:30].strip("-")
    namespace = f"{words}-{uuid.uuid4().hex[:5]}".removeprefix("test-")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    site.kubectl("create", "-f", "-", stdin=json.dumps(wanted))
    with Recorder(site, namespace) as recorder:
        workspace = Workspace(site, namespace, tmp_path, recorder)
        yield workspace
        missed = _missed(recorder)
    timeline = recorder.timeline()
    print(timeline)
    TIMELINES.mkdir(parents=True, exist_ok=True)
    (TIMELINES / f"{re.sub(r'[^a-z0-9_]+', '-', request.node.name.lower())}.txt").write_text(f"{timeline}\n")
    report = getattr(request.node, "report", None)
    if report is not None and report.failed:
        print(site.kubectl("get", "edgemodels,jobs,pods,daemonsets", "-n", namespace, "-o", "wide"))
        print(site.kubectl("get", "events", "-n", namespace, "--sort-by=.lastTimestamp"))
        print(site.kubectl("logs", "-n", "edgemodel-system", "deployment/edgemodel-operator", "--tail=60"))
    site.kubectl("delete", "namespace", namespace, "--wait=false")
    assert recorder.seen or not workspace.applied, "not one status was recorded"
    assert not missed
    assert not list(recorder.problems())


def _missed(recorder: Recorder) -> str:
    try:
        recorder.catch_up()
    except SiteError as error:
        return str(error)
    return ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.report = report  # type: ignore[attr-defined]
    return report
