"""The EdgeModels of end-to-end tests, with quick rollouts on the lab's nodes."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.lab import serving
from examples.lab.site import Site, push_example
from examples.lab.waiting import wait_for
from tests.support import tiny_models
from tests.support.recorder import Recorder

QUICK = {
    "waves": [{"name": "canary", "nodes": 1}, {"name": "all", "percent": 100}],
    "soakSeconds": 1,
    "bakeSeconds": 1,
    "nodeReadyTimeoutSeconds": 60,
}
JOB_SECONDS = 120
ROLLOUT_SECONDS = 180


@dataclass
class Workspace:
    """The namespace of one test, with functions to publish and apply there."""

    site: Site
    namespace: str
    folder: Path
    recorder: Recorder
    applied: dict[str, dict[str, Any]] = field(default_factory=dict)

    def publish(self, *files: Path) -> dict[str, str]:
        """Returns the ``oci://`` URI in the registry that plays the public one, by file stem."""
        return push_example(self.site, self.namespace, *files)

    def apply(self, name: str = "m", **spec: Any) -> None:
        """Applies an EdgeModel with quick waves on ``edge=camera``; ``spec`` replaces top-level fields."""
        body = {
            "apiVersion": "edgemodel.io/v1alpha1",
            "kind": "EdgeModel",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "compression": {"steps": []},
                "placement": {"nodeSelector": {"edge": "camera"}},
                "rollout": QUICK,
                **self.applied.get(name, {}),
                **spec,
            },
        }
        self.applied[name] = body["spec"]  # type: ignore[assignment]
        self.site.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def get(self, name: str = "m") -> dict[str, Any]:
        """Returns the EdgeModel as it is stored."""
        model: dict[str, Any] = self.site.get("edgemodel", name, "-n", self.namespace)
        return model

    def ready(self, name: str = "m", seconds: float = ROLLOUT_SECONDS) -> dict[str, Any]:
        """Waits until the EdgeModel is Ready, and returns it."""
        return serving.wait_for_condition(self.site, self.namespace, name, "Ready", "", seconds)

    def stalled(self, reason: str, name: str = "m", seconds: float = JOB_SECONDS) -> str:
        """Returns the message, once the EdgeModel is Stalled with ``reason``."""
        model = serving.wait_for_condition(self.site, self.namespace, name, "Stalled", reason, seconds)
        found = serving.condition(model, "Stalled")
        assert found is not None
        return str(found["message"])

    def reconciling(self, reason: str, name: str = "m", seconds: float = JOB_SECONDS) -> str:
        """Waits for the condition Reconciling with ``reason``, and returns its message."""
        model = serving.wait_for_condition(self.site, self.namespace, name, "Reconciling", reason, seconds)
        found = serving.condition(model, "Reconciling")
        assert found is not None
        return str(found["message"])

    def pods(self, name: str = "m") -> dict[str, dict[str, Any]]:
        """Returns the ready server pods by node."""
        return serving.server_pods(self.site, self.namespace, name)

    def revisions_on_nodes(self, name: str = "m") -> dict[str, str]:
        """Returns the revision that each node serves."""
        return {node: pod["metadata"]["labels"]["edgemodel.io/revision"] for node, pod in self.pods(name).items()}

    def wait(self, what: str, probe: Any, seconds: float = 60) -> Any:
        """Waits until ``probe`` returns a true value, and returns that."""
        return wait_for(what, probe, timeout_s=seconds, not_yet=())


def publish_mlp(work: Workspace, name: str, seed: int = 1, **options: Any) -> str:
    """Returns the URI of a tiny model with the options of ``tiny_models.mlp``."""
    return work.publish(tiny_models.mlp(work.folder / f"{name}.onnx", seed, **options))[name]
