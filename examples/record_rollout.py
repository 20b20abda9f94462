#!/usr/bin/env python3
"""Records what a terminal shows of a rollout and of a rollback: after `make demo`, `build/venv/bin/python
examples/record_rollout.py`.

It changes the EdgeModel of the demo twice: to a candidate that its check lets through, and to one that it does not.
What kubectl prints meanwhile goes into docs/images/rollout.json, with the seconds since the start, which
docs/terminal_picture.py draws. In the end the EdgeModel is as it was.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]

import yaml  # noqa: E402 - the checkout is on the path only now

from edgemodel.version import VERSION  # noqa: E402
from examples import lab  # noqa: E402
from examples.demo import EXAMPLE, MODEL, NAMESPACE  # noqa: E402
from examples.lab import serving  # noqa: E402
from examples.lab.site import Site, SiteError, example_manifest, find_site  # noqa: E402

RECORDING = ROOT / "docs" / "images" / "rollout.json"
QUERY = 'max(edgemodel_memory_bytes{namespace="$namespace",model="$model",revision="$candidate"})'
PASSES, FAILS = "500000000", "50000000"
"""Limits of a server's memory in bytes: no server needs 500 MB for this model, and every one needs more than 50 MB."""
SOAK_SECONDS = 20
DEADLINE_SECONDS = 300


@dataclass(frozen=True)
class Line:
    """A line of the terminal."""

    seconds: float
    text: str


@dataclass
class Recording:
    """The terminal since the start."""

    version: str = VERSION
    lines: list[Line] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, text: str) -> None:
        """Adds a line, and prints it."""
        print(text, flush=True)
        self.lines.append(Line(round(time.monotonic() - self.started, 1), text))

    def write(self, path: Path) -> None:
        """Writes the version and the lines as JSON."""
        value = {"version": self.version, "lines": [asdict(line) for line in self.lines]}
        path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def main() -> int:
    """Returns the exit status: 0 if a rollout and a rollback were recorded."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        site = find_site()
        _stable(site)
        recording = record(site)
    except (SiteError, TimeoutError, lab.LabError) as error:
        print(f"record_rollout.py: {error}", file=sys.stderr)
        return 1
    recording.write(RECORDING)
    print(f"wrote {RECORDING.relative_to(ROOT)}; docs/terminal_picture.py draws it")
    return 0


def record(site: Site) -> Recording:
    """Returns the recording. Raises SiteError, or TimeoutError if the cluster does something else."""
    before = yaml.safe_load(example_manifest(site, EXAMPLE / "edgemodel.yaml"))
    recording = Recording()
    try:
        with watched(site, recording):
            first = _stable(site)
            apply(site, recording, "better.yaml", manifest(before, concurrency=1, limit=PASSES))
            lab.wait_for("the rollout", lambda: _is_ready(site) and _stable(site) != first, timeout_s=DEADLINE_SECONDS)
            apply(site, recording, "worse.yaml", manifest(before, concurrency=2, limit=FAILS))
            lab.wait_for("the rollback", lambda: _is_rolled_back(site), timeout_s=DEADLINE_SECONDS)
        recording.add(f"$ kubectl edgemodel status {MODEL}")
        command = [sys.executable, "-m", "edge_cli.kubectl_plugin", "status", MODEL, "-n", NAMESPACE]
        for line in site.run(*command).splitlines():
            recording.add(line)
    finally:
        site.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(before))
    return recording


def manifest(model: dict[str, Any], *, concurrency: int, limit: str) -> dict[str, Any]:
    """Returns the EdgeModel with another concurrency, which is a new revision that needs no compression, and a check of
    its memory alone, with ``limit`` in bytes."""
    check = {"name": "memory", "type": "PromQL", "promQL": {"query": QUERY, "max": limit}}
    spec = {
        **model["spec"],
        "serving": {"tuning": {"concurrency": concurrency}},
        "rollout": {**model["spec"]["rollout"], "soakSeconds": SOAK_SECONDS},
        "analysis": {"checks": [check]},
    }
    return {**model, "spec": spec}


def apply(site: Site, recording: Recording, name: str, model: dict[str, Any]) -> None:
    """Applies a manifest, which the recording calls ``name``."""
    recording.add(f"$ kubectl apply -f {name}")
    recording.add(site.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(model)).strip())


@contextmanager
def watched(site: Site, recording: Recording) -> Iterator[None]:
    """Adds what ``kubectl get --watch`` prints of the EdgeModel meanwhile."""
    recording.add(f"$ kubectl get edgemodel {MODEL} --watch &")
    command = ["kubectl", "get", "edgemodel", MODEL, "-n", NAMESPACE, "--watch"]
    with subprocess.Popen(command, env=site.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reader = Thread(target=_read, args=(process.stdout, recording), daemon=True)
        reader.start()
        try:
            yield
        finally:
            process.terminate()
            reader.join()


def _read(output: Iterator[str], recording: Recording) -> None:
    for line in output:
        recording.add(line.rstrip())


def _stable(site: Site) -> str:
    """Returns the stable revision. Raises SiteError if there is none."""
    stable = site.get("edgemodel", MODEL, "-n", NAMESPACE).get("status", {}).get("stableRevision")
    if not stable:
        raise SiteError(f"EdgeModel {NAMESPACE}/{MODEL} has no stable revision: run `make demo` first")
    return str(stable)


def _is_ready(site: Site) -> bool:
    model = site.get("edgemodel", MODEL, "-n", NAMESPACE)
    ready = serving.condition(model, "Ready")
    return _is_observed(model) and ready is not None and ready["status"] == "True"


def _is_rolled_back(site: Site) -> bool:
    model = site.get("edgemodel", MODEL, "-n", NAMESPACE)
    stalled = serving.condition(model, "Stalled")
    return _is_observed(model) and stalled is not None and stalled["reason"] == "RolledBack"


def _is_observed(model: dict[str, Any]) -> bool:
    return bool(model["status"].get("observedGeneration") == model["metadata"]["generation"])


if __name__ == "__main__":
    sys.exit(main())
