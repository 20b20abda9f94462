"""The operator: objects of odd shapes, and settings that are none; each is told, and nothing ends a pass."""

from typing import Any, Final

import pytest

from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.settings import from_environment
from edgemodel import reasons
from edgemodel.errors import EdgeModelError
from edgemodel.job_images import JOB_IMAGES
from edgemodel.names import LABEL_COMPONENT, LABEL_REVISION, LABEL_VARIANT
from tests.support.bad_input import mutated
from tests.support.bad_input_runs import Tries, share
from tests.support.revisions import revision_spec
from tests.support.simulation import SETTINGS
from tests.unit.edge_operator.test_unreadable import IMAGE, daemonset, model, node, raw

OWNER: Final = {"apiVersion": "v1", "kind": "DaemonSet", "name": "m-1-default", "uid": "u", "controller": True}
CONTAINER: Final = {
    "name": "server",
    "restartCount": 1,
    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "x"}},
}


def objects() -> dict[str, dict[str, Any]]:
    """Returns an object of each kind that the operator watches, with all that it reads."""
    edge_model = model(candidateRevision="m-2", observedGeneration=1)
    edge_model["status"] |= {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
        "rejectedRevisions": [{"name": "m-0", "reason": "GoldenMismatch", "message": "", "at": "2026-01-01T00:00:00Z"}],
        "rollout": {"wave": 0, "waves": 1, "waveName": "all", "waveStartedAt": "2026-01-01T00:00:00Z"},
    }
    machine = node("edge")
    machine["spec"] = {"unschedulable": False, "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}
    machine["status"] = {
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "nodeInfo": {"architecture": "amd64"},
    }
    pod = raw("Pod", "m-1-x", spec={"nodeName": "camera-1", "containers": [CONTAINER]})
    pod["metadata"]["labels"] |= {LABEL_REVISION: "m-1", LABEL_VARIANT: "default", LABEL_COMPONENT: "server"}
    pod["metadata"]["ownerReferences"] = [OWNER]
    pod["status"] = {
        "phase": "Pending",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [CONTAINER],
    }
    job = raw("Job", "m-job", spec={"backoffLimit": 0, "template": {"spec": {"containers": [CONTAINER]}}})
    job["metadata"]["labels"] |= {LABEL_COMPONENT: "compressor"}
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    return {
        "EdgeModel": edge_model,
        "EdgeModelRevision": raw("EdgeModelRevision", "m-1", spec=revision_spec({"fast": f"vision/m@{IMAGE}"})),
        "Node": machine,
        "Pod": pod,
        "Job": job,
        "DaemonSet": daemonset("m-1-fast", "pin"),
    }


@pytest.mark.parametrize("kind", ["EdgeModel", "EdgeModelRevision", "Node", "Pod", "Job", "DaemonSet"])
def test_objects_of_odd_shapes(kind: str) -> None:
    """The metadata are as the API server has them for every kind; spec and status may be anybody's."""
    tries = Tries(f"operator: {kind}", (0, 3))
    given = objects()

    def seen(odd: dict[str, Any]) -> int:
        changed: list[Key] = []
        cache = ClusterCache(SETTINGS, changed.append)
        for other, good in given.items():
            if other != kind:
                cache.see(good)
        cache.see(odd)
        cache.observe(("vision", "m"))
        cache.stray_labels()
        told = cache.unreadable
        for one in told:
            print(one)
        assert all(one.reason in (reasons.OBJECT_UNREADABLE, reasons.SCHEMA_OUTDATED) for one in told)
        return 3 if told else 0

    own = {part: given[kind][part] for part in ("spec", "status") if part in given[kind]}
    for about, odd in share(mutated(own, 150, kind)):
        rest = {key: value for key, value in given[kind].items() if key not in own}
        tries.call(about, lambda odd={**rest, **odd}: seen(odd))  # type: ignore[misc]
    tries.judge(150)


def test_settings() -> None:
    tries = Tries("operator: settings", (0, 3))
    good = {
        "EDGEMODEL_OPERATOR_NAMESPACE": "edgemodel-system",
        "EDGEMODEL_SERVER_IMAGE": "server:v1",
        "EDGEMODEL_REGISTRY_PUSH": "registry:5000",
        "EDGEMODEL_REGISTRY_PULL": "registry:5000",
        "EDGEMODEL_PROMETHEUS_URL": "http://prometheus:9090",
        "EDGEMODEL_SERVER_LAYERS": "{}",
        "EDGEMODEL_PROMETHEUS_HEADERS": "{}",
        "EDGEMODEL_PROMETHEUS_CREDENTIALS": "",
        "EDGEMODEL_PLAIN_HTTP_HOSTS": "a,b",
        **{image.variable: "image:v1" for image in JOB_IMAGES.values()},
    }

    def read(environment: dict[str, str]) -> int:
        try:
            from_environment(environment)
        except EdgeModelError as error:
            print(error.message)
            return error.exit_code
        return 0

    words = (
        "",
        " ",
        "x",
        "-1",
        "1.5",
        "nan",
        "{",
        "[]",
        "{}",
        "http://[::1",
        "https://",
        "[" * 100_000,
        '{"a": 1}',
        "null",
        "ä",
        "99999999999999999",
    )
    for name in share(good):
        for word in words:
            tries.call(f"{name}={word[:20]!r}", lambda n=name, w=word: read({**good, n: w}))  # type: ignore[misc]
    tries.judge(100)
