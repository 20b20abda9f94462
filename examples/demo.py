#!/usr/bin/env python3
"""The demo, from `kubectl apply` to answers on edge nodes: `make demo`.

It brings the lab up (or uses the cluster of KUBECONFIG, with REGISTRY=host:port/prefix), installs the chart, publishes
the example's model and data, applies its EdgeModel, waits, sends a request to every node, and prints the results. If
anything fails, it ends non-zero with the reason. The cluster stays up.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

from charts.images.progress import BEGUN  # noqa: E402 - the checkout is on the path only now
from examples import lab  # noqa: E402
from examples.lab import machine, serving  # noqa: E402
from examples.lab.site import (  # noqa: E402
    Site,
    SiteError,
    build_images,
    example_manifest,
    find_site,
    images_built_beside,
    install_chart,
    push_example,
)

EXAMPLE = ROOT / "examples" / "fashion-mnist"
FILES = ("model.onnx", "calibration.npz", "evaluation.npz")
NAMESPACE = "vision"
MODEL = "fashion-mnist"
IMAGES = ("operator", "server", "compressor", "registry", "prometheus")
"""The images that it builds: all but the trainer, which takes as long as the others together."""
LAB_PLATFORMS = ("linux/amd64",)
"""The platforms that it builds them for on the lab; on another cluster, all."""
DEADLINE_SECONDS = 600


def say(text: str) -> None:
    """Prints a line with the seconds since the start."""
    print(f"[{time.monotonic() - BEGUN:6.1f} s] {text}", flush=True)


def main() -> int:
    """Returns the exit status: 0 if the demonstration went as it should."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        site = _site()
        say(
            "pushing the images"
            if site.is_lab
            else "building the images and pushing them (some 3 minutes the first time)"
        )
        images = build_images(site, *IMAGES, platforms=LAB_PLATFORMS if site.is_lab else ())
        say("installing the chart, and publishing the example's model and data")
        with ThreadPoolExecutor(1) as pool:
            installed = pool.submit(install_chart, site, images)
            push_example(site, MODEL, *(EXAMPLE / name for name in FILES))
            installed.result()
        model = _roll_out(site)
        _ask_every_node(site, model)
        _print_result(site, model)
    except (SiteError, TimeoutError, lab.LabError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    _print_hints(site)
    return 0


def _site() -> Site:
    if os.environ.get("KUBECONFIG") in (None, "", str(lab.KUBECONFIG)):
        say("bringing the lab up: upstream Kubernetes, three edge nodes; and building the images beside it")
        say("  usually 8 to 10 minutes the first time, on two cores, and 10 seconds later")
        machine.require_root()
        machine.require_packages()  # images are built with some of them
        with images_built_beside(*IMAGES, platforms=LAB_PLATFORMS):
            lab.up()
    return find_site()


def _roll_out(site: Site) -> dict[str, Any]:
    """Applies the example's EdgeModel and shows each change of its Ready condition until it is Ready or Stalled."""
    site.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    )
    site.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=example_manifest(site, EXAMPLE / "edgemodel.yaml"))
    say(f"applied EdgeModel {NAMESPACE}/{MODEL}")
    shown = ""

    def probe() -> dict[str, Any] | None:
        nonlocal shown
        model: dict[str, Any] = site.get("edgemodel", MODEL, "-n", NAMESPACE)
        ready = serving.condition(model, "Ready")
        if ready is not None and (text := f"{ready['reason']}: {ready['message']}") != shown:
            shown = text
            say(f"  {text}")
        stalled = serving.condition(model, "Stalled")
        if stalled is not None:
            raise SiteError(f"the EdgeModel is stalled: {stalled['reason']}: {stalled['message']}")
        return model if ready is not None and ready["status"] == "True" else None

    return lab.wait_for(f"{NAMESPACE}/{MODEL} to be Ready", probe, timeout_s=DEADLINE_SECONDS, not_yet=())


def _ask_every_node(site: Site, model: dict[str, Any]) -> None:
    request = json.loads((EXAMPLE / "request.json").read_text())
    pods = serving.server_pods(site, NAMESPACE, MODEL)
    if len(pods) != model["status"]["nodes"]["selected"]:
        raise SiteError(f"{len(pods)} nodes serve, {model['status']['nodes']['selected']} are selected")
    for node, pod in sorted(pods.items()):
        port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
        with serving.forwarded(site, NAMESPACE, f"pod/{pod['metadata']['name']}", port) as base:
            started = time.monotonic()
            answer = serving.infer(base, MODEL, request)
            took = (time.monotonic() - started) * 1000
        output = answer["outputs"][0]
        classes = output["shape"][-1]
        rows = [output["data"][at : at + classes] for at in range(0, len(output["data"]), classes)]
        predicted = [row.index(max(row)) for row in rows]
        say(f"{node} answers {len(rows)} images in {took:.0f} ms: classes {predicted} ({answer['model_version']})")


def _print_result(site: Site, model: dict[str, Any]) -> None:
    print("\nThe artifact compared with its source:")
    for artifact in model["status"]["artifacts"]:
        source_kb, size_kb = artifact["sourceSizeBytes"] / 1000, artifact["sizeBytes"] / 1000
        print(f"  variant {artifact['variant']}: {artifact['image']}")
        print(f"    size      {source_kb:9.1f} kB -> {size_kb:9.1f} kB ({source_kb / size_kb:.1f}x smaller)")
        print(f"    transfer  {'':9}        {artifact['transferBytes'] / 1000:9.1f} kB for a node that has the server")
        if "accuracy" in artifact:
            before, after, n = artifact["sourceAccuracy"], artifact["accuracy"], artifact["sampleCount"]
            print(f"    accuracy  {before:>9}    -> {after:>9}    (n = {n})")
        if "latencyMilliseconds" in artifact:
            slow, fast = float(artifact["sourceLatencyMilliseconds"]), float(artifact["latencyMilliseconds"])
            print(f"    latency   {slow:9.3f} ms -> {fast:9.3f} ms (median in the Job, one thread)")
    for check in model["status"].get("checks", ()):
        print(f"    {check['verdict']}: {check['message']}")
    print("\nWhere it runs:")
    for node, pod in sorted(serving.server_pods(site, NAMESPACE, MODEL).items()):
        print(f"  {node}: {pod['metadata']['name']} ({pod['metadata']['labels']['edgemodel.io/revision']})")


def _print_hints(site: Site) -> None:
    path = f"{site.tools}:$PATH" if site.tools else "$PATH"
    print(f"""
The cluster stays up. To look around:
  export KUBECONFIG={site.kubeconfig} PATH={path}
  kubectl get edgemodels -A
  kubectl describe edgemodel {MODEL} -n {NAMESPACE}
  kubectl get pods -n {NAMESPACE} -o wide""")
    if site.is_lab:
        print("To stop it:\n  make lab-down")


if __name__ == "__main__":
    sys.exit(main())
