"""A candidate is measured on real nodes before its first wave, and the results decide whether it goes on."""

from edgemodel import reasons
from examples.lab import serving
from tests.support.edge_models import Workspace, publish_mlp
from tests.support.live import CAMERAS

ASKED, NOT_ASKED = CAMERAS
HOSTNAME = "kubernetes.io/hostname"
PREFLIGHT = {"nodeSelector": {HOSTNAME: ASKED}, "hardwareClassLabels": [HOSTNAME], "maxLatencyMilliseconds": "2"}
"""The preflight in which each node is a class of its own, and one of them has no eligible node."""


def test_a_preflight_measures_the_artifact_on_a_node_and_one_that_is_too_slow_reaches_no_other(work: Workspace) -> None:
    work.apply(source={"uri": publish_mlp(work, "quick")}, preflight=PREFLIGHT)
    model = work.ready()
    stable = model["status"]["stableRevision"]
    asked, not_asked = sorted(model["status"]["preflight"]["classes"], key=lambda item: str(item["name"]))
    assert (asked["node"], asked["verdict"]) == (ASKED, "Pass")
    assert asked["goldenAgree"] == asked["goldenItems"] > 0
    assert 0 < float(asked["p50Milliseconds"]) < 2
    assert asked["instructionSets"]
    assert (not_asked["name"].rpartition("/")[2], not_asked["verdict"]) == (NOT_ASKED, "Inconclusive")
    assert "p50Milliseconds" not in not_asked
    unverified = serving.condition(model, "LatencyUnverified")
    assert unverified is not None
    assert NOT_ASKED in unverified["message"]
    revision = work.site.get("edgemodelrevision", stable, "-n", work.namespace)
    assert revision["status"]["preflight"] == {"classes": model["status"]["preflight"]["classes"]}

    work.apply(source={"uri": publish_mlp(work, "slow", slow=400)})
    message = work.stalled(reasons.PREFLIGHT_FAILED)
    assert f"node {ASKED} (default/" in message
    assert "limit 2 ms" in message
    status = work.get()["status"]
    assert status["stableRevision"] == stable
    assert status["rejectedRevisions"][0]["reason"] == reasons.PREFLIGHT_FAILED
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, stable)
    daemonsets = work.site.get("daemonsets", "-n", work.namespace)["items"]
    assert {item["metadata"]["labels"]["edgemodel.io/revision"] for item in daemonsets} == {stable}
