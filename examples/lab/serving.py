"""Sends requests to the inference servers of an EdgeModel, like an application."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from examples.lab.ports import free_port
from examples.lab.site import Site, SiteError
from examples.lab.waiting import wait_for


@contextmanager
def forwarded(site: Site, namespace: str, target: str, port: int) -> Iterator[str]:
    """Yields a loopback address that ``kubectl port-forward`` forwards to ``target`` (``pod/NAME``)."""
    local = free_port()
    command = ["kubectl", "port-forward", "-n", namespace, target, f"{local}:{port}", "--address", "127.0.0.1"]
    with subprocess.Popen(
        command, env=site.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "Forwarding" not in line:
                raise SiteError(f"port-forward to {target} failed: {line}{process.stdout.read()}")
            yield f"http://127.0.0.1:{local}"
        finally:
            process.terminate()


def infer(base: str, model: str, request: dict[str, Any], timeout: float = 10) -> dict[str, Any]:
    """Returns the answer to one inference request. Raises SiteError with the server's message."""
    data = json.dumps(request).encode()
    http = urllib.request.Request(f"{base}/v2/models/{model}/infer", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(http, timeout=timeout) as answer:
            value: dict[str, Any] = json.load(answer)
            return value
    except urllib.error.HTTPError as error:
        raise SiteError(f"{base} answered {error.code}: {error.read().decode(errors='replace')[:500]}") from error
    except OSError as error:
        raise SiteError(f"{base} did not answer: {error}") from error


def server_pods(site: Site, namespace: str, model: str) -> dict[str, dict[str, Any]]:
    """Returns the ready server pods by node."""
    selector = f"edgemodel.io/model={model},app.kubernetes.io/component=server"
    pods = site.get("pods", "-n", namespace, "-l", selector)["items"]
    return {
        pod["spec"]["nodeName"]: pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    }


def condition(model: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """Returns a condition of the manifest's present generation; None if there is none."""
    for item in model.get("status", {}).get("conditions", ()):
        if item["type"] == kind and item.get("observedGeneration") == model["metadata"]["generation"]:
            found: dict[str, Any] = item
            return found
    return None


def wait_for_condition(site: Site, namespace: str, name: str, kind: str, reason: str, seconds: float) -> dict[str, Any]:
    """Returns the EdgeModel once its condition ``kind`` is True with ``reason`` (any, if that is empty)."""
    last: dict[str, Any] = {}

    def probe() -> dict[str, Any] | None:
        nonlocal last
        last = site.get("edgemodel", name, "-n", namespace)
        found = condition(last, kind)
        good = found is not None and found["status"] == "True" and reason in ("", found["reason"])
        return last if good else None

    try:
        return wait_for(f"{namespace}/{name} to be {kind} {reason}", probe, timeout_s=seconds, not_yet=())
    except TimeoutError as error:
        conditions = json.dumps(last.get("status", {}).get("conditions"), indent=1)
        raise SiteError(f"{error}; conditions: {conditions}") from error
