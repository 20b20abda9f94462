"""The processes etcd, API server and controllers, the public registry, a file server, and the host's access to them."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import api, cgroups, network, processes
from .layout import (
    API_PORT,
    CONTROL_PLANE_ADDRESS,
    CONTROL_PLANE_NAMESPACE,
    FILES,
    FILES_PORT,
    HERE,
    PKI,
    REGISTRY_PORT,
    SERVICE_RANGE,
    STATE,
)
from .progress import LabError, run
from .waiting import wait_for

COMPONENTS = ("etcd", "apiserver", "controller-manager", "scheduler", "registry", "files", "volumes", "forward")
_CGROUP = "control-plane"
_REGISTRY_CONFIG = f"""\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {STATE}/registry}}
  delete: {{enabled: true}}
  redirect: {{disable: true}}
http:
  addr: {CONTROL_PLANE_ADDRESS}:{REGISTRY_PORT}
  relativeurls: true  # the host, the nodes and the pods know it by three names
"""


def start_api(binaries: Path) -> None:
    """Starts everything but the controllers, which exit if they find no API server."""
    cgroups.make(_CGROUP)
    FILES.mkdir(parents=True, exist_ok=True)
    (STATE / "registry.yaml").write_text(_REGISTRY_CONFIG)
    _start_forward()
    _start("etcd", ["etcd", *_etcd_flags()])
    start_apiserver(binaries)
    _start("registry", ["docker-registry", "serve", STATE / "registry.yaml"])
    server = [sys.executable, "-I", "-m", "http.server", str(FILES_PORT)]
    _start("files", [*server, "--bind", CONTROL_PLANE_ADDRESS, "--directory", FILES])


def start_apiserver(binaries: Path) -> None:
    """Starts the API server, for which etcd has to be running; does not wait until it is ready."""
    _start("apiserver", [binaries / "kube-apiserver", *_apiserver_flags()])


def stop_k3s_server() -> None:
    """Kills at once all that is one process in K3s, like a loss of power."""
    for component in ("apiserver", "controller-manager", "scheduler"):
        processes.kill(component)


def compact_etcd() -> None:
    """Drops all history: a watch from an older revision is told to list again."""
    revision = _etcd("kv/range", {"key": "AA=="})["header"]["revision"]
    _etcd("kv/compaction", {"revision": revision, "physical": True})


def start_beside(argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
    """Starts a program in the control plane's namespace; the caller ends it."""
    command = [*network.enter(CONTROL_PLANE_NAMESPACE), *(str(word) for word in argv)]
    return subprocess.Popen(command, **{"text": True, **options})


def _etcd(what: str, body: dict[str, Any]) -> Any:
    words = ["curl", "-sS", "--fail", "--max-time", "10", "-d", json.dumps(body), f"http://127.0.0.1:2379/v3/{what}"]
    return json.loads(run([*network.enter(CONTROL_PLANE_NAMESPACE), *words]))


def wait_for_api() -> None:
    """Waits until the API server is ready. Raises LabError after 60 s, with the log of a process that ended, if any."""

    def ready() -> bool:
        processes.require_alive(["etcd", "apiserver", "forward"])
        return api.ready()

    try:
        wait_for("the API server to be ready", ready, timeout_s=60, interval_s=0.1, not_yet=OSError)
    except TimeoutError as error:
        processes.require_alive(["etcd", "apiserver", "forward"])
        raise LabError(f"{error}; see {processes.log_of('apiserver')}") from error


def start_controllers(binaries: Path) -> None:
    """Starts the controllers, for which the API server has to be ready."""
    own: dict[str, list[str]] = {"controller-manager": _controller_manager_flags(), "scheduler": []}
    for component, own_flags in own.items():
        credentials = PKI / f"{component}.kubeconfig"
        flags: list[str | Path] = [
            *(f"--{prefix}kubeconfig={credentials}" for prefix in ("", "authentication-", "authorization-")),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            # The default of 20 requests a second makes the DaemonSet controller the bottleneck of every measurement.
            "--kube-api-qps=400",
            "--kube-api-burst=800",
            "--v=1",
        ]
        _start(component, [binaries / f"kube-{component}", *flags, *own_flags])


def start_provisioner() -> None:
    """Starts the provisioner of volumes."""
    provisioner = ["env", f"PYTHONPATH={HERE.parents[1]}", f"EDGEMODEL_LAB_DIR={STATE}", sys.executable]
    processes.start("volumes", [*provisioner, "-c", f"from {__package__}.volumes import main; main()"], cgroup=_CGROUP)


def _etcd_flags() -> list[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        f"--data-dir={STATE}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--quota-backend-bytes=4294967296",
        "--logger=zap",
        "--log-level=warn",
    ]


def _apiserver_flags() -> list[str]:
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--advertise-address={CONTROL_PLANE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",  # names of nodes resolve nowhere: logs and exec would time out
        "--profiling=false",
        "--v=1",
    ]


def _controller_manager_flags() -> list[str]:
    return [
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        "--use-service-account-credentials=true",
        "--controllers=*,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller",
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=10s",
    ]


def _start(name: str, argv: list[str | Path]) -> None:
    processes.start(name, argv, cgroup=_CGROUP, enter=network.enter(CONTROL_PLANE_NAMESPACE))


def _start_forward() -> None:
    """Listens on the host's loopback, then moves into the control plane's namespace with the open sockets."""
    listeners = {port: _listen(port) for port in (API_PORT, REGISTRY_PORT)}
    targets = [f"{listener.fileno()}={CONTROL_PLANE_ADDRESS}:{port}" for port, listener in listeners.items()]
    processes.start(
        "forward",
        [sys.executable, "-I", HERE / "forward.py", *targets],
        cgroup=_CGROUP,
        enter=network.enter(CONTROL_PLANE_NAMESPACE),
        pass_fds=[listener.fileno() for listener in listeners.values()],
    )
    for listener in listeners.values():
        listener.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise LabError(f"127.0.0.1:{port} is taken by another program; the lab needs it") from error
        raise
    listener.listen(128)
    return listener
