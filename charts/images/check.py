"""Runs what an image's program needs, inside the image: as its user, on a read-only root, with its environment.

Needs root (chroot), and for another architecture than this machine's ``qemu-<machine>-static`` on PATH. What is
proven is that nothing that was pruned is needed: every import, one inference, both quantizations, one signature.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_oci.images import Platform
from edge_oci.layers import Layer

from . import debian
from .building import BuiltImage, config
from .catalogue import Image
from .progress import BuildError, say

_PROBES = Path(__file__).parent / "probes"
_EMULATOR = "emulator"
# $0 is the root; what follows is the command.
_INSIDE = f"""
PATH=$PATH:/sbin:/usr/sbin
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/tmp"
mount -t tmpfs tmpfs "$0/dev"
touch "$0/dev/urandom"
mount --bind /dev/urandom "$0/dev/urandom"
mount -o remount,bind,ro "$0"
exec chroot --userspec={debian.USER}:{debian.USER} "$0" "$@"
"""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_MOST_SECONDS = 300


def check(built: BuiltImage) -> None:
    """Checks each platform of an image that this machine can run. Raises BuildError with what the program said."""
    if os.geteuid() != 0:
        raise BuildError("--check runs programs in a chroot: run it as root")
    for where, layers in built.layers.items():
        emulator = _emulator(where)
        if emulator is not None or _MACHINES[where.architecture] == platform.machine():
            _check(built.image, where, layers, emulator)
        else:
            say(f"{built.image.name}, {where}: not checked; install qemu-user-static to run it here")


def unpack(layers: Sequence[Layer], root: Path) -> None:
    """The file system that a runtime would make of ``layers``, lowest first."""
    for layer in layers:
        with tarfile.open(layer.path) as packed:
            packed.extractall(root, filter="fully_trusted")  # noqa: S202 - we have written it


def _check(image: Image, where: Platform, layers: Sequence[Layer], emulator: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="edgemodel-check-") as scratch:
        root = Path(scratch)
        unpack(layers, root)
        root.chmod(0o755)
        command = _command(image)
        if emulator is not None:
            shutil.copy(emulator, root / _EMULATOR)
            command = [f"/{_EMULATOR}", *command]
        argv = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "sh", "-ec", _INSIDE, scratch, *command]
        environment = dict(entry.split("=", 1) for entry in config(image, where)["config"]["Env"])
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=_MOST_SECONDS)
    if done.returncode != 0:
        raise BuildError(f"{image.name}, {where}, does not run:\n{done.stdout}{done.stderr}")
    for line in (done.stdout or done.stderr).strip().splitlines()[:2]:
        say(f"{image.name}, {where}: {line}")


def _emulator(where: Platform) -> str | None:
    machine = _MACHINES[where.architecture]
    return None if machine == platform.machine() else shutil.which(f"qemu-{machine}-static")


def _command(image: Image) -> list[str]:
    if not image.code:
        return [image.entrypoint[0], "--version"]
    packages = [Path(package).name for package in image.code]
    every = (_PROBES / "imports.py").read_text()
    probe = (_PROBES / f"{image.name}.py").read_text()
    return [image.entrypoint[0], "-c", f"PACKAGES = {packages!r}\n{every}\n{probe}"]
