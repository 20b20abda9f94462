"""An upgrade from the previous release touches nothing that serves.

That release wrote its objects by an older schema, in which some fields had other names. The API server drops those
fields as soon as the new definitions are there, so the operator must not treat such an object as complete.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgemodel import reasons
from examples.lab.site import BUILD, SYSTEM_NAMESPACE, Site, install, install_chart
from tests.support import previous_release, tiny_models
from tests.support.edge_models import QUICK, Workspace
from tests.support.live import CAMERAS, clients
from tests.support.pins import pins_of_nodes

ROLLOUT = {
    **{key: value for key, value in QUICK.items() if key != "nodeReadyTimeoutSeconds"},
    "nodeDeadlineSeconds": 60,
}
SERVING = {"tuning": {"threads": 1}}
RENAMED = (
    "spec.rollout.nodeDeadlineSeconds -> spec.rollout.nodeReadyTimeoutSeconds",
    "spec.serving.tuning.threads -> spec.serving.tuning.concurrency",
)
"""The two old names in the manifests below, as the condition shows them."""
WATCHED_SECONDS = 90
"""The time in which many passes of the operator, a relist, and a restart of every pod of the chart happen."""


@pytest.fixture
def previous(site: Site, tmp_path: Path) -> Iterator[None]:
    """Installs the previous release in place of this checkout; at the end this checkout is installed again."""
    images: dict[str, str] = json.loads((BUILD / "images.json").read_text())
    release, scratch = tmp_path / "release", tmp_path / "scratch"
    scratch.mkdir()
    previous_release.unpack(release)
    then = previous_release.push_images(site, images, release, scratch)
    try:
        values = previous_release.values(site, then)
        install(site, release / "charts" / "edgemodel", values, BUILD / "previous-values.json")
        yield
    finally:
        install_chart(site, images)


def objects(work: Workspace) -> dict[str, Any]:
    """Returns the identity of everything that serves: an object that is created again has another uid."""
    found: dict[str, Any] = {
        "pins": {node: pins & work.recorder.pins.keys() for node, pins in pins_of_nodes(work.site).items()}
    }
    for kind in ("edgemodels", "edgemodelrevisions", "services", "networkpolicies"):
        items = work.site.get(kind, "-n", work.namespace)["items"]
        found[kind] = {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}
    found["daemonsets"] = {
        item["metadata"]["name"]: (item["metadata"]["uid"], item["metadata"]["generation"])
        for item in work.site.get("daemonsets", "-n", work.namespace)["items"]
    }
    found["pods"] = {
        item["metadata"]["name"]: [(each["name"], each["restartCount"]) for each in item["status"]["containerStatuses"]]
        for item in work.site.get("pods", "-n", work.namespace, "-l", "app.kubernetes.io/component=server")["items"]
    }
    return found


def apply_server_side(work: Workspace, name: str, **spec: Any) -> None:
    """Applies an EdgeModel as GitOps tools do, without the annotation that ``kubectl apply`` leaves."""
    metadata = {"name": name, "namespace": work.namespace}
    body = {"apiVersion": "edgemodel.io/v1alpha1", "kind": "EdgeModel", "metadata": metadata, "spec": spec}
    work.site.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))


@pytest.mark.exclusive
def test_an_upgrade_from_the_previous_release_stops_nothing_and_names_the_old_fields(
    previous: None, work: Workspace
) -> None:
    source = {"uri": work.publish(tiny_models.mlp(work.folder / "m.onnx"))["m"]}
    work.apply(source=source, rollout=ROLLOUT, serving=SERVING)
    apply_server_side(work, "by-git", **{**work.applied["m"], "serving": {**SERVING, "port": 8090}})
    names = ("m", "by-git")
    stable = {name: work.ready(name)["status"]["stableRevision"] for name in names}
    assert {name: work.revisions_on_nodes(name) for name in names} == {
        name: dict.fromkeys(CAMERAS, stable[name]) for name in names
    }
    before = objects(work)
    assert any(before["pins"].values())
    with clients(work) as load:
        work.recorder.mark("the upgrade begins")
        install_chart(work.site, json.loads((BUILD / "images.json").read_text()))
        work.recorder.mark("the upgrade is done")
        for name in names:
            message = work.stalled(reasons.SCHEMA_OUTDATED, name)
            assert all(renamed in message for renamed in RENAMED), message
        work.site.kubectl("label", "node", CAMERAS[0], "upgraded=yes", "--overwrite")
        try:
            assert load.goes_on_for(WATCHED_SECONDS), "the clients ended before their time"
        finally:
            work.site.kubectl("label", "node", CAMERAS[0], "upgraded-")
        assert objects(work) == before
    for node, saw in load.stop().items():
        assert saw["failed"] == 0, (node, saw["failures"][:3])
        assert saw["good"] > 0
        assert list(saw["versions"]) == [stable["m"]], "no other revision ever answered"
    log = work.site.kubectl("logs", "-n", SYSTEM_NAMESPACE, "deployment/edgemodel-operator", "--tail=-1")
    assert "spec.rollout.nodeReadyTimeoutSeconds" in log
