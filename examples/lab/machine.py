"""The lab's demands on the machine: root, and a few Debian packages."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .layout import LOGS
from .progress import LabError, print_progress, run_long

# A file that tells whether the package is there, and the package. The last three are not for the lab itself:
# images are made from them, and with mmdebstrap.
PACKAGES = {
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/usr/bin/etcd": "etcd-server",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/conntrack": "conntrack",
    "/usr/bin/ip": "iproute2",
    "/usr/bin/nsenter": "util-linux",
    "/usr/bin/openssl": "openssl",
    "/usr/bin/docker-registry": "docker-registry",
    "/usr/bin/prometheus": "prometheus",
    "/usr/bin/mmdebstrap": "mmdebstrap",
    "/usr/sbin/sysctl": "procps",
    "/usr/bin/strip": "binutils",  # makes the images' libraries smaller
    "/usr/bin/aarch64-linux-gnu-strip": "binutils-aarch64-linux-gnu",
    "/usr/bin/curl": "curl",  # the client that tests run on nodes
}
SERVICES = ("containerd", "etcd", "docker-registry", "prometheus")
_POLICY = Path("/usr/sbin/policy-rc.d")


def require_root() -> None:
    """Raises LabError unless this process runs as root; the message names missing packages, too."""
    if os.geteuid() != 0:
        missing = " ".join(_missing())
        install = f" (and have these installed, by their Debian names: {missing})" if missing else ""
        raise LabError(f"the lab makes network namespaces and cgroups: run it as root{install}")


def require_packages() -> None:
    """Installs missing packages, and names them. Raises LabError if that fails."""
    missing = _missing()
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"apt-get is missing; install these first (Debian's names): {' '.join(missing)}")
    if platform.machine() != "x86_64":
        print_progress(f"note: the pinned helm and kubectl are for x86_64, this machine is {platform.machine()}")
    print_progress(f"installing with apt: {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services(set(missing)):
        run_long("apt-get update", ["apt-get", "update", "-q"], log=LOGS / "apt.log", env=env)
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing]
        run_long("apt-get install", install, log=LOGS / "apt.log", env=env)
    if _missing():
        raise LabError(f"installed, yet not where the lab looks for them: {' '.join(_missing())}")


def _missing() -> list[str]:
    return [package for file, package in PACKAGES.items() if not _is_there(file)]


def _is_there(file: str) -> bool:
    return Path(file).exists() or shutil.which(Path(file).name) is not None


@contextmanager
def _no_services(packages: set[str]) -> Iterator[None]:
    """Keeps packages from starting their daemons at installation, which they do unless policy-rc.d forbids it."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()
    if Path("/run/systemd/system").is_dir():  # or they would start with the machine
        units = [unit for unit in SERVICES if unit in packages or f"{unit}-server" in packages]
        subprocess.run(["systemctl", "disable", "--now", *units], capture_output=True, check=False)
