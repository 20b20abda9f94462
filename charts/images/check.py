"""Runs inside an image what its program needs: as its user, on a read-only root, with its environment.

A named layer is checked in the image that it is made for, once per architecture, by its own probe.

The check needs root (chroot), and ``qemu-<machine>-static`` on PATH for another architecture than this machine's. It
shows that nothing that was pruned is needed: every import, one inference, both quantizations, one signature.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_oci.images import Platform
from edge_oci.layers import Layer

from . import debian
from .building import BuiltImage, build, config
from .catalogue import Image, NamedLayer
from .progress import BuildError, print_progress

PROBES = Path(__file__).parent / "probes"
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
_MAX_SECONDS = 300


@dataclass(frozen=True)
class Check:
    """The command that checks one platform of an image or named layer."""

    layers: Sequence[Layer]
    """The file system, lowest layer first; for a named layer it includes the base's layers."""
    command: Sequence[str]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, built: BuiltImage, where: Platform) -> Check:
        """Returns the check of one platform of what was built."""
        image, layers = built.image, built.layers[where]
        variables = _variables(image, where)
        if isinstance(image, NamedLayer):
            base = build(image.upon, [str(where)])
            layers = [*base.layers[where], *layers]
            variables = _variables(image.upon, where) | variables
        return cls(layers, _command(image), variables)


def check(built: BuiltImage) -> None:
    """Checks each platform of an image that this machine can run. Raises BuildError with the program's output."""
    if os.geteuid() != 0:
        raise BuildError("--check runs programs in a chroot: run it as root")
    for where in built.layers:
        emulator = _emulator(where)
        if emulator is not None or _MACHINES[where.architecture] == platform.machine():
            _run(Check.of(built, where), f"{built.image.name}, {where}", emulator)
        else:
            print_progress(f"{built.image.name}, {where}: not checked; install qemu-user-static to run it here")


def unpack(layers: Sequence[Layer], root: Path) -> None:
    """Writes the file system of ``layers``, lowest first, as a container runtime would."""
    for layer in layers:
        with tarfile.open(layer.path) as packed:
            packed.extractall(root, filter="fully_trusted")  # noqa: S202 - we have written it


def _run(program: Check, name: str, emulator: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="edgemodel-check-") as scratch:
        root = Path(scratch)
        unpack(program.layers, root)
        root.chmod(0o755)
        command = list(program.command)
        if emulator is not None:
            shutil.copy(emulator, root / _EMULATOR)
            command = [f"/{_EMULATOR}", *command]
        argv = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "sh", "-ec", _INSIDE, scratch, *command]
        environment = dict(program.environment)
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=_MAX_SECONDS)
    if done.returncode != 0:
        raise BuildError(f"{name}, does not run:\n{done.stdout}{done.stderr}")
    for line in (done.stdout or done.stderr).strip().splitlines()[:2]:
        print_progress(f"{name}: {line}")


def _emulator(where: Platform) -> str | None:
    machine = _MACHINES[where.architecture]
    return None if machine == platform.machine() else shutil.which(f"qemu-{machine}-static")


def _variables(image: Image | NamedLayer, where: Platform) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in config(image, where)["config"]["Env"])


def _command(image: Image | NamedLayer) -> list[str]:
    """Returns the command of the check: imports of all our packages that the image adds, then the probe."""
    entrypoint = image.upon.entrypoint if isinstance(image, NamedLayer) else image.entrypoint
    if isinstance(image, Image) and not image.code:
        return [entrypoint[0], "--version"]
    packages = [Path(package).name for package in image.code]
    every = (PROBES / "imports.py").read_text()
    probe = (PROBES / f"{image.name}.py").read_text()
    return [entrypoint[0], "-c", f"PACKAGES = {packages!r}\n{every}\n{probe}"]
