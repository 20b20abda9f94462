"""The tutorials and the ways to install, read as a person reads them: each block runs and prints what its page shows.

The tutorials on converters and on training are read in ``test_converters`` and ``test_training``.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgemodel import reasons
from examples import lab
from tests.support.edge_models import Workspace
from tests.support.live import CAMERAS
from tests.support.page_reader import Reader, reading


@pytest.fixture
def reader(work: Workspace) -> Iterator[Reader]:
    with reading(work) as found:
        yield found


@contextmanager
def asked_without_a_pause(reader: Reader, model: str) -> Iterator[None]:
    """Sends requests on each node inside the context; every one has to be answered."""
    work = reader.work
    address = work.site.get("service", model, "-n", work.namespace)["spec"]["clusterIP"]
    url = f"http://{address}:8080/v2/models/{model}/infer"
    curl = f"curl -sSf --max-time 10 -o /dev/null --data-binary @{reader.terminal.where}/request.json {url}"
    command = ["bash", "-c", f"while {curl}; do sleep 0.1; done"]
    clients = [lab.node_start(node, command, stderr=subprocess.PIPE) for node in CAMERAS]
    try:
        yield
        failed = [client.communicate()[1] for client in clients if client.poll() is not None]
        assert not failed
    finally:
        for client in clients:
            client.kill()
            client.wait()


def test_the_first_model_serves_and_a_canary_that_fails_is_rolled_back_before_the_readers_eyes(reader: Reader) -> None:
    work = reader.work
    reader.read("docs/tutorials/first-model.md")
    reader.saw("Compressing", "RollingOut", "Soaking", "Serving")
    first = work.get("fashion-mnist")["status"]["stableRevision"]
    with asked_without_a_pause(reader, "fashion-mnist"):
        reader.read("docs/tutorials/canary-and-rollback.md")
        assert work.get("fashion-mnist")["status"]["stableRevision"] == first
    reader.saw("RollingOut", "Soaking", "RolledBack", "Serving")
    status = work.get("fashion-mnist")["status"]
    assert status["rejectedRevisions"][0]["reason"] == reasons.QUERY_OUT_OF_BOUNDS
    seen = [one.status for one in work.recorder.seen if one.status.get("stableRevision")]
    assert {one["stableRevision"] for one in seen} == {first}
    assert max(one["nodes"].get("candidate", 0) for one in seen) == 1
    assert "check memory: the query gives" in work.stalled(reasons.ROLLED_BACK, "fashion-mnist")
    reader.terminal.stands_for |= {r"\bNAME\b": "fashion-mnist", r"\bNAMESPACE\b": work.namespace}
    assert "memory: Fail: the query gives" in reader.read("docs/troubleshooting.md")


def test_a_stateful_model_is_compressed_rolled_out_and_called_with_its_state(reader: Reader) -> None:
    reader.read("docs/tutorials/stateful-model.md")
    assert float(reader.work.get("sensor")["status"]["artifacts"][0]["accuracy"]) > 0.95


def test_the_cluster_takes_what_the_pages_install(reader: Reader) -> None:
    """The one of ``docs/getting-started.md`` is run in ``test_chart``, which has the cluster for itself."""
    reader.read("docs/operations/install.md")
    reader.read("README.md", "Install")
    reader.read("charts/edgemodel/README.md", "The edgemodel chart")
