"""Secrets, claims and tenants: who may read a source and who may push what."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemodel import reasons
from edgemodel.digest import digest_of_file
from examples import lab
from examples.lab.network import enter
from examples.lab.site import SiteError
from tests.support import tiny_models
from tests.support.edge_models import Workspace

SERVER = Path(__file__).parents[1] / "support" / "private_files.py"
PUSHER = """
import pathlib, sys
from edge_oci import Registries, TokenFile, parse_reference, push_artifact
registry, repository = sys.argv[1:3]
token = TokenFile(pathlib.Path("/var/run/secrets/edgemodel/registry/token"), (registry,))
where = parse_reference(f"{registry}/{repository}:try")
file = pathlib.Path("/tmp/hello")
file.write_text("hello")
registries = Registries(credentials=token, plain_http_hosts=(registry,))
print(push_artifact(registries.repository(where), {"hello": file}, artifact_type="application/octet-stream", tag="try"))
"""


def test_a_source_on_a_claim_is_read_and_a_path_that_leaves_it_is_refused(work: Workspace) -> None:
    file = tiny_models.mlp(work.folder / "good.onnx")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": work.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }
    _run_pod(work, "fill", ["python3", "-c", _writer(file.read_bytes())], claim="models", extra=[claim])
    work.apply(source={"uri": "pvc://models/good.onnx", "digest": digest_of_file(file)})
    work.ready()
    with pytest.raises(SiteError, match=r"a path inside it without \. or \.\. parts"):
        work.apply("escape", source={"uri": "pvc://models/../../etc/passwd"})


def test_a_private_registry_requires_its_secret(work: Workspace, private_files: str) -> None:
    file = tiny_models.mlp(work.folder / "good.onnx")
    source = {"uri": f"{private_files}/good.onnx", "digest": digest_of_file(file)}
    work.apply(source=source)
    work.stalled(reasons.SOURCE_UNAUTHORIZED)
    work.site.kubectl(
        "create",
        "secret",
        "generic",
        "files",
        "-n",
        work.namespace,
        "--from-literal=username=me",
        "--from-literal=password=right",
    )
    work.apply(source={**source, "secretRef": {"name": "files"}})
    work.ready()


def test_a_namespace_pushes_only_under_its_own_name(work: Workspace) -> None:
    registry = "edgemodel-registry-push.edgemodel-system.svc:5000"
    own = _run_pod(work, "own", ["python3", "-c", PUSHER, registry, f"{work.namespace}/thing"])
    assert own == "Succeeded", work.site.kubectl("logs", "own", "-n", work.namespace)
    assert _run_pod(work, "other", ["python3", "-c", PUSHER, registry, "somebody-else/thing"]) == "Failed"
    log = work.site.kubectl("logs", "other", "-n", work.namespace)
    assert "Unauthorized" in log or "Denied" in log


def test_a_model_pushed_into_the_embedded_registry_is_served_from_there(work: Workspace) -> None:
    file = tiny_models.mlp(work.folder / "good.onnx")
    edgemodel = str(Path(sys.executable).with_name("edgemodel"))
    uri = work.site.run(edgemodel, "push", str(file), "--namespace", work.namespace).strip()
    assert uri.startswith(f"oci://edgemodel-registry-push.edgemodel-system.svc:5000/{work.namespace}/good@sha256:")
    work.apply(source={"uri": uri})
    work.ready()


def test_jobs_and_servers_have_no_service_account_token(work: Workspace) -> None:
    published = work.publish(tiny_models.mlp(work.folder / "good.onnx"))
    work.apply(source={"uri": published["good"]})
    work.ready()
    pods = work.site.get("pods", "-n", work.namespace)["items"]
    assert len(pods) == 3
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        sources = [s for v in pod["spec"].get("volumes", ()) if "projected" in v for s in v["projected"]["sources"]]
        audiences = [source["serviceAccountToken"]["audience"] for source in sources if "serviceAccountToken" in source]
        assert set(audiences) <= {"edgemodel-registry"}


def _writer(content: bytes) -> str:
    coded = base64.b64encode(content).decode()
    return f"import base64; open('/claim/good.onnx', 'wb').write(base64.b64decode('{coded}'))"


def _run_pod(
    work: Workspace, name: str, command: list[str], claim: str = "", extra: list[dict[str, object]] | None = None
) -> str:
    """Runs the compressor's image with the token of a Job, and returns the phase in which it ends."""
    image = work.site.get("deployment", "edgemodel-operator", "-n", "edgemodel-system")["spec"]["template"]["spec"]
    env = {item["name"]: item.get("value") for item in image["containers"][0]["env"]}
    token = {"serviceAccountToken": {"audience": "edgemodel-registry", "path": "token"}}
    volumes: list[dict[str, object]] = [
        {"name": "token", "projected": {"sources": [token]}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts = [
        {"name": "token", "mountPath": "/var/run/secrets/edgemodel/registry"},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if claim:
        volumes.append({"name": "claim", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "claim", "mountPath": "/claim"})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": work.namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "run",
                    "image": env["EDGEMODEL_COMPRESSOR_IMAGE"],
                    "command": command,
                    "volumeMounts": mounts,
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
            "volumes": volumes,
        },
    }
    for thing in [*(extra or []), pod]:
        work.site.kubectl("apply", "-f", "-", stdin=json.dumps(thing))

    def ended() -> str | None:
        phase = work.site.get("pod", name, "-n", work.namespace)["status"]["phase"]
        return phase if phase in ("Succeeded", "Failed") else None

    return str(work.wait(f"pod {name} to end", ended, 90))


@pytest.fixture
def private_files(tmp_path: Path) -> Iterator[str]:
    """Yields the base URL of a web server with a password that serves ``tmp_path``, on the gateway node."""
    node = lab.node_named("gateway-1")
    argv = [*enter(node.namespace), sys.executable, str(SERVER), node.address, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield f"http://{node.address}:{server.stdout.readline().strip()}"
        server.stdin.close()
