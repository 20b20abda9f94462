"""The lab as a whole: up, down, status, cut, join."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from . import addons, api, build, cgroups, control_plane, images, machine, network, nodes, pki, processes, tools
from .layout import (
    API_PORT,
    COREDNS_IMAGE,
    FILES,
    IMAGES,
    KUBECONFIG,
    LOCK,
    LOGS,
    NODES,
    PAUSE_IMAGE,
    PKI,
    PROBE_IMAGE,
    REGISTRY,
    REGISTRY_PORT,
    STATE,
    Node,
    node_named,
)
from .progress import LabError, print_progress, run, timed
from .waiting import wait_for

_ANSWERS = {"API answers": api.ready, "registry answers": api.registry_ready, "CoreDNS": api.coredns_ready}


@dataclass(frozen=True)
class Status:
    """The running parts of the lab: True in ``components`` means running, in ``nodes`` Ready."""

    components: dict[str, bool]
    nodes: dict[str, bool]
    cut: list[str]
    kubeconfig: str = str(KUBECONFIG)
    api: str = f"https://127.0.0.1:{API_PORT}"
    registry_for_host: str = f"127.0.0.1:{REGISTRY_PORT}"
    registry_for_nodes_and_pods: str = REGISTRY
    files: str = str(FILES)
    files_for_pods: str = "http://files.lab:8000/"

    @property
    def has_all_daemons(self) -> bool:
        """True if every process runs, whether or not it is ready to work."""
        return all(running for name, running in self.components.items() if name not in _ANSWERS)

    @property
    def healthy(self) -> bool:
        """True if every component runs, every node is Ready and no link is cut."""
        return all(self.components.values()) and all(self.nodes.values()) and not self.cut

    def as_dict(self) -> dict[str, object]:
        """Returns the fields and ``healthy``, ready for JSON."""
        return {"healthy": self.healthy, **asdict(self)}


def status() -> Status:
    """Returns the present state of the lab; without a lab, nothing runs and no node is Ready."""
    daemons = [*control_plane.COMPONENTS]
    daemons += [nodes.component(node, name) for node in NODES for name in nodes.COMPONENTS]
    components = {name: processes.pid_of(name) is not None for name in daemons}
    components |= {name: answers() for name, answers in _ANSWERS.items()}
    ready = api.nodes_ready()
    alive = {node.name: ready.get(node.name, False) for node in NODES}
    is_there = set(network.present())
    cut = [node.name for node in NODES if node.namespace in is_there and network.is_cut(node)]
    return Status(components, alive, cut)


def up() -> None:
    """Makes the lab healthy: keeps it if it is, restores its links if only those are cut, otherwise starts a new
    one."""
    machine.require_root()
    with _locked():
        for node in NODES:
            processes.resume(nodes.component(node, "kube-proxy"))  # the process that paused it may have been killed
        now = status()
        if now.healthy:
            print_progress("the lab is up")
            return
        if now.has_all_daemons and _recovers(now):
            return
        if _anything_left():
            print_progress("an earlier lab is not whole: taking it down")
            _down()
        try:
            _up()
        except BaseException:
            print_progress("not up: taking down what was started (the logs stay)")
            _down()
            raise


def down() -> None:
    """Removes every process, mount, namespace and cgroup of the lab; logs stay."""
    machine.require_root()
    with _locked():
        _down()


def cut(node: Node) -> None:
    """Cuts the node's link. The API server calls it NotReady some 12 s later; its pods continue to run."""
    machine.require_root()
    network.cut(node)


def join(node: Node) -> None:
    """Restores the node's link. The API server calls it Ready some 6 s later."""
    machine.require_root()
    network.join(node)


def slow(node: Node, processor_share: float | None) -> None:
    """Limits all pods of the node together to a share of one processor; None: no limit."""
    machine.require_root()
    cgroups.limit_cpu(f"{node.name}/kubepods", processor_share)


@contextmanager
def without_api() -> Iterator[None]:
    """Kills the API server inside the context, and its controllers with it: in K3s they are one process.

    When it is back, it has lost its history, as after a compaction of etcd.
    """
    machine.require_root()
    control_plane.stop_k3s_server()
    try:
        yield
        control_plane.compact_etcd()
    finally:
        binaries = build.programs_dir()
        control_plane.start_apiserver(binaries)
        control_plane.wait_for_api()
        control_plane.start_controllers(binaries)


@contextmanager
def stale_services(*stale: Node) -> Iterator[None]:
    """Stops the kube-proxies of these nodes inside the context, so that they learn of no pod that comes or goes."""
    machine.require_root()
    proxies = [nodes.component(node, "kube-proxy") for node in stale]
    for proxy in proxies:
        processes.pause(proxy)
    try:
        yield
    finally:
        for proxy in proxies:
            processes.resume(proxy)


def _up() -> None:
    machine.require_packages()
    tools.bin_dir()
    binaries = build.programs_dir()
    with timed("images, certificates, network"):
        IMAGES.mkdir(parents=True, exist_ok=True)
        images.write_image(IMAGES / "pause.tar", name=PAUSE_IMAGE, program=binaries / "pause")
        images.write_image(IMAGES / "probe.tar", name=PROBE_IMAGE, program=binaries / "probe")
        images.write_image(IMAGES / "coredns.tar", name=COREDNS_IMAGE, program=binaries / "coredns")
        pki.make()
        network.make()
    with timed("API server and container runtimes"), ThreadPoolExecutor(len(NODES)) as pool:
        control_plane.start_api(binaries)
        runtimes = [pool.submit(nodes.start_runtime, node) for node in NODES]
        control_plane.wait_for_api()
        control_plane.start_controllers(binaries)
        control_plane.start_provisioner()
        for runtime in runtimes:
            runtime.result()
    with timed(f"{len(NODES)} nodes Ready"):
        for node in NODES:
            nodes.start_kubelet(node, binaries)
        _wait("nodes to be Ready", _all_ready)
    with timed("CoreDNS"):
        addons.apply()
        _wait("CoreDNS to be Available", api.coredns_ready)


def _down() -> None:
    with timed("processes"):
        cgroups.kill_members()
        processes.forget_all()
    with timed("namespaces, cgroups, files"):
        network.remove()
        cgroups.remove()
        _unmount_leftovers()
        for folder in ("nodes", "etcd", "registry", "files", "pki", "images"):
            shutil.rmtree(STATE / folder, ignore_errors=True)
        KUBECONFIG.unlink(missing_ok=True)


def _anything_left() -> bool:
    return bool(cgroups.members() or network.present() or processes.recorded() or PKI.exists())


def _recovers(now: Status) -> bool:
    """Restores the links of a lab whose daemons all run, and waits for it to become Ready."""
    for name in now.cut:
        print_progress(f"joining {name}")
        network.join(node_named(name))
    with timed("waiting for the lab to recover"), suppress(TimeoutError):
        return wait_for("the lab to be healthy", lambda: status().healthy, timeout_s=30)
    return False


def _all_ready() -> bool:
    ready = api.nodes_ready()
    return all(ready.get(node.name) for node in NODES)


def _wait(what: str, probe: Callable[[], bool]) -> None:
    """Waits, and fails at once if a daemon ends."""
    ended: list[str] = []

    def reached() -> bool:
        ended.extend(name for name in processes.recorded() if processes.pid_of(name) is None)
        return bool(ended) or probe()

    try:
        wait_for(what, reached, timeout_s=90)
    except TimeoutError as error:
        raise LabError(f"{error}; the logs are in {LOGS}") from error
    processes.require_alive(ended)


def _unmount_leftovers() -> None:
    """Unmounts what a crash has left outside the namespaces of nodes, whose own mounts end with their processes."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for target in sorted((m for m in mounts if m.startswith(f"{STATE}/")), reverse=True):
        run(["umount", "--lazy", target])


@contextmanager
def _locked() -> Iterator[None]:
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print_progress("waiting for another `up` or `down` on this machine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
