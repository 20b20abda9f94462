"""The chart on a real cluster: an upgrade disturbs nothing, and an uninstall keeps what serves."""

import json

import pytest

from edge_oci import Registries, get_manifest, parse_reference, put_manifest
from examples.lab.serving import forwarded
from examples.lab.site import BUILD, RELEASE, SYSTEM_NAMESPACE, Site, install_chart
from tests.support import tiny_models
from tests.support.edge_models import Workspace
from tests.support.page_reader import reading

CAMERAS = ("camera-1", "camera-2")


def images() -> dict[str, str]:
    found: dict[str, str] = json.loads((BUILD / "images.json").read_text())
    return found


def helm(site: Site, *arguments: str) -> str:
    return site.run("helm", *arguments, "--namespace", SYSTEM_NAMESPACE, timeout=240)


def pod_names(work: Workspace) -> set[str]:
    return {pod["metadata"]["name"] for pod in work.pods().values()}


def newer_server(site: Site) -> str:
    """Returns the digest of another index of the same server images, as a newer release would have."""
    host = site.push_to.split("/")[0]
    where = parse_reference(f"{site.push_to}/server@{images()['server'].split('@')[1]}")
    repository = Registries(plain_http_hosts=(host,) if site.plain_http else ()).repository(where)
    index = get_manifest(repository, where.version).content
    return put_manifest(repository, {**index, "annotations": {"org.opencontainers.image.version": "newer"}}).digest


def upgrade(site: Site, *settings: str) -> None:
    values = ["--values", str(BUILD / "values.json"), *(word for setting in settings for word in ("--set", setting))]
    helm(site, "upgrade", RELEASE, "charts/edgemodel", *values, "--wait", "--timeout", "3m")


@pytest.mark.exclusive
def test_an_upgrade_starts_no_rollout_unless_the_upgrade_policy_is_immediate(work: Workspace) -> None:
    work.apply(source={"uri": work.publish(tiny_models.mlp(work.folder / "m.onnx"))["m"]})
    revision = work.ready()["status"]["stableRevision"]
    before = pod_names(work)
    newer = newer_server(work.site)
    try:
        upgrade(work.site, f"server.image.digest={newer}", "operator.podAnnotations.try=upgrade")
        work.site.kubectl("annotate", "edgemodel", "m", "-n", work.namespace, "looked=at")
        assert work.ready()["status"]["stableRevision"] == revision
        assert pod_names(work) == before
        upgrade(work.site, f"server.image.digest={newer}", "server.upgradePolicy=Immediate")
        work.wait("the newer server to be on trial", lambda: work.get()["status"].get("candidateRevision"), 120)
        assert work.get()["status"]["stableRevision"] == revision
        upgraded = work.ready()["status"]["stableRevision"]
        assert upgraded != revision
        made = work.site.get("edgemodelrevision", upgraded, "-n", work.namespace)
        assert made["spec"]["serverImage"].endswith(newer)
        assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, upgraded)
        waves = [seen.status["rollout"]["wave"] for seen in work.recorder.seen if seen.status.get("rollout")]
        assert {0, 1} <= set(waves[-20:])
    finally:
        install_chart(work.site, images())
    assert work.ready()["status"]["stableRevision"] == upgraded


@pytest.mark.exclusive
def test_an_uninstall_keeps_models_serving_and_an_install_as_its_page_says_takes_over(work: Workspace) -> None:
    work.apply(source={"uri": work.publish(tiny_models.mlp(work.folder / "m.onnx"))["m"]})
    work.ready()
    before = pod_names(work)
    helm(work.site, "uninstall", RELEASE, "--wait")
    try:
        work.wait("the chart's pods to end", lambda: not work.site.get("pods", "-n", SYSTEM_NAMESPACE)["items"])
        assert pod_names(work) == before
        assert work.get()["status"]["stableRevision"]
        with reading(work) as reader:
            install = f"helm install edgemodel --values {BUILD / 'values.json'} --wait --timeout 3m"
            reader.terminal.stands_for[r"helm install edgemodel"] = install
            reader.read("docs/getting-started.md", "On an existing K3s")
    finally:
        install_chart(work.site, images())
    second = tiny_models.mlp(work.folder / "second.onnx", seed=7)
    work.apply(source={"uri": work.publish(second)["second"]})
    stable = work.ready()["status"]["stableRevision"]
    assert work.revisions_on_nodes() == dict.fromkeys(CAMERAS, stable)


def test_the_operator_exposes_its_metrics_and_its_readiness(work: Workspace) -> None:
    with forwarded(work.site, SYSTEM_NAMESPACE, "deployment/edgemodel-operator", 8080) as base:
        text = work.site.run("curl", "-sS", f"{base}/metrics")
        assert "edgemodel_operator_reconcile_duration_seconds_count" in text
        assert "edgemodel_operator_api_requests_total" in text
        assert work.site.run("curl", "-sS", f"{base}/readyz") == "ok\n"


def test_prometheus_scrapes_every_server_and_keeps_the_servers_own_labels(work: Workspace) -> None:
    work.apply(source={"uri": work.publish(tiny_models.mlp(work.folder / "m.onnx"))["m"]})
    work.ready()
    query = f'edgemodel_model_info{{namespace="{work.namespace}"}}'
    with forwarded(work.site, SYSTEM_NAMESPACE, "deployment/edgemodel-prometheus", 9090) as base:

        def scraped() -> set[str] | None:
            argv = ["curl", "-sS", "-G", f"{base}/api/v1/query", "--data-urlencode", f"query={query}"]
            found = json.loads(work.site.run(*argv))["data"]["result"]
            nodes = {item["metric"]["node"] for item in found}
            return nodes if nodes == set(CAMERAS) else None

        work.wait("both servers to be scraped", scraped, 60)
