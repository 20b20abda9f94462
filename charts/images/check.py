"""Runs what an image's program needs, inside the image: as its user, on its files, with its environment.

Only for the architecture of this machine, and only as root (chroot). What is proven is that nothing that was
pruned is needed: every import, one inference, both quantizations, one signature.
"""

from __future__ import annotations

import os
import platform
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
_INSIDE = f"""
PATH=$PATH:/sbin:/usr/sbin
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/tmp"
mount -o remount,bind,ro "$0"
exec chroot --userspec={debian.USER}:{debian.USER} "$0" "$@"
"""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def check(built: BuiltImage) -> None:
    """Raises BuildError with what the program said."""
    here = Platform("linux", _ARCHITECTURES.get(platform.machine(), platform.machine()))
    if here not in built.layers:
        say(f"{built.image.name}: not made for {here}, so nothing of it can run here")
        return
    if os.geteuid() != 0:
        raise BuildError("--check runs programs in a chroot: run it as root")
    with tempfile.TemporaryDirectory(prefix="edgemodel-check-") as scratch:
        unpack(built.layers[here], Path(scratch))
        Path(scratch).chmod(0o755)
        argv = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "sh", "-ec", _INSIDE, scratch, *_command(built.image)]
        environment = dict(entry.split("=", 1) for entry in config(built.image, here)["config"]["Env"])
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise BuildError(f"{built.image.name} does not run:\n{done.stdout}{done.stderr}")
    for line in (done.stdout or done.stderr).strip().splitlines()[:3]:
        say(f"{built.image.name}: {line}")


def unpack(layers: Sequence[Layer], root: Path) -> None:
    """The file system that a runtime would make of ``layers``, lowest first."""
    for layer in layers:
        with tarfile.open(layer.path) as packed:
            packed.extractall(root, filter="fully_trusted")  # noqa: S202 - we have written it


def _command(image: Image) -> list[str]:
    if not image.code:
        return [image.entrypoint[0], "--version"]
    packages = [Path(package).name for package in image.code]
    probe = (_PROBES / f"{image.name}.py").read_text()
    every = (_PROBES / "imports.py").read_text()
    return [image.entrypoint[0], "-c", f"PACKAGES = {packages!r}\n{every}\n{probe}"]
