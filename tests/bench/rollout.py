#!/usr/bin/env python3
"""The duration and cost of a rollout and of a rollback: ``make bench-rollout``.

It needs a site where the chart is installed. It prints a table and writes build/bench/rollout.json. Times of a rollout
come from the cluster's own records, so their resolution is a second, except for pulls, which the kubelet records to the
millisecond; those of a rollback come from clients on the nodes and a watch of the nodes. No figure is a test.
"""

import json
import platform
import re
import sys
import tempfile
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from edgemodel import reasons  # noqa: E402 - the checkout is on the path only now
from edgemodel.names import PIN_PREFIX  # noqa: E402
from examples.lab.serving import forwarded  # noqa: E402
from examples.lab.site import BUILD, SYSTEM_NAMESPACE, Site, SiteError, find_site  # noqa: E402
from tests.bench.prerequisites import Prerequisite, require  # noqa: E402
from tests.bench.report import show_targets, write_report  # noqa: E402
from tests.support import tiny_models  # noqa: E402
from tests.support.edge_models import QUICK, Workspace, publish_mlp  # noqa: E402
from tests.support.live import CAMERAS, ERRORS, SOAK, Load, checks, counted, stable  # noqa: E402
from tests.support.recorder import Recorder  # noqa: E402
from tests.support.watching import Watch  # noqa: E402

IMAGE_TARGETS_MB = {"server": 40, "operator": 25, "compressor": 50, "trainer": 240}
AT_ONCE = {**QUICK, "waves": [{"name": "all", "percent": 100}], "bakeSeconds": 120}
SLOW_LOOKS = {"intervalSeconds": 15}
"""The default interval; the other runs look every 2 s, as often as Prometheus scrapes there."""
ROLLBACKS = {
    "rollback, canary": (SOAK, {}),
    "rollback, all nodes": (AT_ONCE, {}),
    "rollback, every 15 s": (SOAK, SLOW_LOOKS),
}
PULLED = re.compile(r"Successfully pulled image .* in ([\d.]+)(ms|s) ")
PUBLISHING = re.compile(r"^\[ *([\d.]+) s\] (.*)", re.MULTILINE)


class InstalledChart:
    """A site with the operator of the chart; the problem is why there is none."""

    problem = ""

    def is_there(self) -> bool:
        """Returns whether the operator is deployed, and otherwise sets ``problem``."""
        try:
            find_site().kubectl("get", "deployment/edgemodel-operator", "-n", SYSTEM_NAMESPACE)
        except SiteError as error:
            self.problem = f"rollouts are measured on a site with the chart: make bench-rollout installs it ({error})"
        return not self.problem


def prerequisites() -> list[Prerequisite]:
    """Returns the site."""
    return [InstalledChart()]


def main() -> None:
    """Measures rollouts and rollbacks in the lab, and writes their figures."""
    require(prerequisites())
    site = find_site()
    with tempfile.TemporaryDirectory() as folder:
        runs = measure(site, Path(folder))
        for name, (rollout, analysis) in ROLLBACKS.items():
            print(name, file=sys.stderr, flush=True)
            figures = measure_rollback(site, Path(folder), rollout, checks(ERRORS, **analysis))
            runs.append({"name": name, "figures": figures})
    sizes = image_sizes(site)
    targets = [
        {
            "name": f"{name} image, gzip",
            "goal": f"<= {goal}",
            "value": sizes[name],
            "unit": "MB",
            "holds": sizes[name] <= goal,
        }
        for name, goal in IMAGE_TARGETS_MB.items()
    ]
    write_report("rollout", targets, machine(), runs)
    columns = dict.fromkeys(key for run in runs for key in run["figures"])
    print(f"{'':44}" + "".join(f"{run['name']:>23}" for run in runs))
    for column in columns:
        print(f"{column:44}" + "".join(f"{run['figures'].get(column, ''):>23}" for run in runs))
    show_targets(targets)


def measure(site: Site, folder: Path) -> list[dict[str, Any]]:
    """Rolls out a first revision, then a second one, of a model of about 5 MB on the camera nodes."""
    namespace = f"bench-{uuid.uuid4().hex[:6]}"
    site.kubectl("create", "namespace", namespace)
    work = Workspace(site, namespace, folder, Recorder(site, namespace))
    rollout = {"waves": [{"name": "all", "percent": 100}], "soakSeconds": 0, "bakeSeconds": 0}
    runs = [{"name": "at rest", "figures": operator_figures(site)}]
    try:
        for name, seed in (("first revision", 1), ("second revision", 7)):
            print(name, file=sys.stderr, flush=True)
            model = tiny_models.mlp(folder / f"m{seed}.onnx", seed, hidden=60_000)
            data = tiny_models.samples(folder / f"data{seed}.npz", 500, seed, hidden=60_000)
            published = work.publish(model, data)
            before, cpu, started = api_writes(site), operator_cpu(site), time.monotonic()
            work.apply(
                source={"uri": published[f"m{seed}"]},
                datasets={"evaluation": {"uri": published[f"data{seed}"]}},
                rollout=rollout,
            )
            status = work.ready()["status"]
            figures: dict[str, Any] = {"apply to all nodes serving, s": round(time.monotonic() - started, 1)}
            figures |= splits(work, status)
            figures["API writes of the operator"] = sum((api_writes(site)).values()) - sum(before.values())
            figures["operator CPU, s"] = round(operator_cpu(site) - cpu, 2)
            figures |= operator_figures(site)
            figures |= server_memory(site, work)
            runs.append({"name": name, "figures": figures})
    finally:
        site.kubectl("delete", "namespace", namespace, "--wait=false")
    return runs


def measure_rollback(site: Site, folder: Path, rollout: dict[str, Any], analysis: dict[str, Any]) -> dict[str, Any]:
    """Measures a rollback from the first request that a candidate fails to the last pin restored; one in twenty
    requests fails."""
    namespace = f"bench-{uuid.uuid4().hex[:6]}"
    site.kubectl("create", "namespace", namespace)
    work = Workspace(site, namespace, folder, Recorder(site, namespace))
    known: dict[str, set[str]] = {}
    moved: list[float] = []

    def see(node: dict[str, Any]) -> None:
        name = node["metadata"]["name"]
        pins = {key for key in node["metadata"]["labels"] if key.startswith(PIN_PREFIX)}
        if pins != known.get(name, pins):
            moved.append(time.time())
        known[name] = pins

    try:
        stable(work, analysis=analysis)
        load = Load(work, "--odd-one-in", "20", per_second=20)
        work.wait("Prometheus to know enough of stable", lambda: counted(work) >= 600, 120)
        published = publish_mlp(work, "fragile", fails_beyond=5.0)
        before, cpu = api_writes(site), operator_cpu(site)
        with Watch(site, see, "nodes"):
            work.apply(source={"uri": published}, rollout=rollout)
            work.stalled(reasons.ROLLED_BACK, seconds=240)
            first = work.get()["status"]["stableRevision"]
            want = dict.fromkeys(CAMERAS, first)
            work.wait("every node to serve stable", lambda: work.revisions_on_nodes() == want)
            serving_again, pins_back = time.time(), max(moved)
        saw = load.stop()
        first_bad = min(client["failures"][0]["at"] for client in saw.values() if client["failures"])
        failed = work.get()["status"]["checks"][0]
        return {
            "first bad request to last pin put back, s": round(pins_back - first_bad, 1),
            "… to stable alone ready on all nodes, s": round(serving_again - first_bad, 1),
            "requests the verdict rests on": failed["sampleCount"],
            "bad requests of all clients": sum(client["failed"] for client in saw.values()),
            "good requests of all clients": sum(client["good"] for client in saw.values()),
            "API writes of the operator": sum(api_writes(site).values()) - sum(before.values()),
            "operator CPU, s": round(operator_cpu(site) - cpu, 2),
        }
    finally:
        site.kubectl("delete", "namespace", namespace, "--wait=false")


def splits(work: Workspace, status: dict[str, Any]) -> dict[str, Any]:
    """Returns the times of Job, publish, pull and load, for the revision that serves."""
    jobs = work.site.get("jobs", "-n", work.namespace)["items"]
    job = max(jobs, key=lambda item: str(item["metadata"]["creationTimestamp"]))
    log = work.site.kubectl("logs", f"job/{job['metadata']['name']}", "-n", work.namespace)
    steps = [(float(at), text) for at, text in PUBLISHING.findall(log)]
    pods = work.pods().values()
    uids = {pod["metadata"]["uid"] for pod in pods}
    events = work.site.get("events", "-n", work.namespace)["items"]
    pulls = [
        float(found[1]) / (1000 if found[2] == "ms" else 1)
        for event in events
        if event["involvedObject"].get("uid") in uids and (found := PULLED.search(event["message"]))
    ]
    figures: dict[str, Any] = {
        "Job: made to complete, s": seconds(job["metadata"]["creationTimestamp"], job["status"]["completionTime"]),
        "Job: the compressor's own time, s": steps[-1][0] if steps else "",
        "of which publishing, s": round(
            steps[-1][0] - next((at for at, text in steps if "publish" in text), steps[-1][0]), 1
        )
        if steps
        else "",
        "pull, slowest node, s": max(pulls, default=0.0),
        "pod made to ready, slowest node, s": max(
            seconds(pod["metadata"]["creationTimestamp"], ready_at(pod)) for pod in pods
        ),
        "container start to ready, slowest, s": max(
            seconds(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"], ready_at(pod))
            for pod in pods
        ),
        "model layer, bytes": status["artifacts"][0]["transferBytes"],
        "model file, bytes": status["artifacts"][0]["sizeBytes"],
    }
    return figures


def ready_at(pod: dict[str, Any]) -> str:
    """Returns the time at which a pod became ready, as the API server wrote it."""
    return next(str(c["lastTransitionTime"]) for c in pod["status"]["conditions"] if c["type"] == "Ready")


def seconds(start: str, end: str) -> float:
    """Returns the seconds between two times of the API server."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def api_writes(site: Site) -> dict[str, float]:
    """Returns the number of write requests of the operator since its start, by verb and kind."""
    with forwarded(site, SYSTEM_NAMESPACE, "deployment/edgemodel-operator", 8080) as base:
        text = site.run("curl", "-sS", f"{base}/metrics")
    pattern = r'^edgemodel_operator_api_requests_total\{kind="([^"]+)",verb="([^"]+)"\} ([\d.e+]+)'
    found = re.findall(pattern, text, re.MULTILINE)
    return {f"{verb} {kind}": float(count) for kind, verb, count in found if verb not in ("get", "list")}


def stats(site: Site, pod: dict[str, Any]) -> dict[str, Any]:
    """Returns the kubelet's measurements of a pod's only container."""
    summary = json.loads(site.kubectl("get", "--raw", f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/stats/summary"))
    mine = next(item for item in summary["pods"] if item["podRef"]["uid"] == pod["metadata"]["uid"])
    container: dict[str, Any] = mine["containers"][0]
    return container


def operator_pod(site: Site) -> dict[str, Any]:
    """Returns the pod of the operator that is not being deleted."""
    selector = "app.kubernetes.io/component=operator"
    pods = site.get("pods", "-n", SYSTEM_NAMESPACE, "-l", selector)["items"]
    pod: dict[str, Any] = next(item for item in pods if "deletionTimestamp" not in item["metadata"])
    return pod


def operator_cpu(site: Site) -> float:
    """Returns the processor time that the operator has used, in seconds."""
    return float(stats(site, operator_pod(site))["cpu"]["usageCoreNanoSeconds"]) / 1e9


def operator_figures(site: Site) -> dict[str, Any]:
    """Returns the memory and the processor use of the operator."""
    measured = stats(site, operator_pod(site))
    return {
        "operator memory, MiB": round(measured["memory"]["workingSetBytes"] / 2**20, 1),
        "operator CPU, millicores": round(measured["cpu"].get("usageNanoCores", 0) / 1e6, 1),
    }


def server_memory(site: Site, work: Workspace) -> dict[str, Any]:
    """Returns the memory of the largest server."""
    measured = [stats(site, pod)["memory"]["workingSetBytes"] / 2**20 for pod in work.pods().values()]
    return {"server memory, MiB": round(max(measured), 1)}


def image_sizes(site: Site) -> dict[str, float]:
    """Returns the sizes of the amd64 images in the registry, in MB (10^6 bytes)."""
    from edge_oci import Registries, get_manifest, parse_reference

    images = json.loads((BUILD / "images.json").read_text())
    host = site.push_to.split("/")[0]
    registries = Registries(plain_http_hosts=(host,) if site.plain_http else ())
    sizes = {}
    for name in IMAGE_TARGETS_MB:
        where = parse_reference(f"{site.push_to}/{name}@{images[name].split('@')[1]}")
        index = get_manifest(registries.repository(where), where.version).content
        amd64 = next(entry for entry in index["manifests"] if entry["platform"]["architecture"] == "amd64")
        manifest = get_manifest(registries.repository(where), amd64["digest"]).content
        sizes[name] = round(sum(layer["size"] for layer in manifest["layers"]) / 1e6, 1)
    return sizes


def machine() -> str:
    """Returns a description of the machine, for the figures."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    return f"{platform.machine()}, {cpu}, three nodes and the control plane on one machine"


if __name__ == "__main__":
    main()
