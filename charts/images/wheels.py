"""The middle layer: the Python packages of one program, from its lock file, pruned and stripped."""

from __future__ import annotations

import platform
import shutil
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edge_oci.layers import Layer, tree, write_layer

from . import torch_cpu
from .bytecode import PYTHON, compile_beside, compile_instead, compiler
from .catalogue import Wheels
from .progress import BuildError, print_progress, run, timed
from .pruning import drop_empty_directories, prune

DIRECTORY = "/usr/local/lib/python3.11/dist-packages"
"""The folder of the packages, which is on Debian's sys.path, so that no variable has to name it."""

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_NEWEST_GLIBC_MINOR = 36  # Debian 12's 2.36
_ELF = b"\x7fELF"
_LOAD = 1

COMMON: Mapping[str, Sequence[str]] = {
    "scripts, and lists of files that are true no more": ["bin", "*.dist-info/RECORD", "*.dist-info/INSTALLER"],
    "tests": ["**/tests", "**/test", "**/*_test.py", "numpy/testing", "numpy/conftest.py"],
    "sources and type stubs": [
        f"**/*.{suffix}" for suffix in ("pyi", "pxd", "pyx", "pxi", "c", "h", "cc", "cpp", "hpp", "a")
    ],
}


def write_wheels_layer(what: Wheels, requirements: str, architecture: str, path: Path, scratch: Path) -> Layer:
    """Installs ``requirements`` for ``architecture`` without running anything, prunes, strips, and writes a gzip layer.

    Raises BuildError.
    """
    root = scratch / "packages"
    wanted = scratch / "wanted.txt"
    wanted.write_text(requirements)
    with timed(f"{architecture}: installing {what.lock}.txt"):
        run([*_pip(), "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes",
             *_platforms(architecture), "--target", root, "--requirement", wanted])  # fmt: skip
    prune(root, COMMON)
    prune(root, what.pruned)
    for files in what.emptied.values():
        for name in files:
            (root / name).write_text("")
    if what.torch_for_cpu:
        torch_cpu.add_stubs(root / "torch")
        print_progress(f"torch: {torch_cpu.blank_gpu_code(root / 'torch') / 1e6:.0f} MB for GPUs blanked")
    _strip(root, architecture)
    drop_empty_directories(root)
    if what.keeps_sources:
        compile_beside(root, DIRECTORY)
    else:
        compile_instead(root, DIRECTORY, [name for names in what.left_as_sources.values() for name in names])
    return write_layer(tree(root, DIRECTORY), path, compression="gzip")


def requirements(what: Wheels, locks: Path) -> str:
    """Returns the requirements of a layer as text of a lock file, without those that are dropped or lie below."""
    lock = (locks / f"{what.lock}.txt").read_text()
    below = _names((locks / f"{what.upon}.txt").read_text()) if what.upon else []
    return without(lock, [*(name for names in what.dropped.values() for name in names), *below])


def _names(lock: str) -> list[str]:
    return [line.partition("==")[0].strip() for line in lock.splitlines() if not line.startswith((" ", "\t"))]


def without(lock: str, dropped: Iterable[str]) -> str:
    """Returns the lock file's text without the named requirements. Raises ValueError for a name that is not in it."""
    kept: list[str] = []
    dropped = set(dropped)
    missing = set(dropped)
    skipping = False
    for line in lock.splitlines(keepends=True):
        if not line.startswith((" ", "\t")):
            name = line.partition("==")[0].strip()
            skipping = name in dropped
            missing.discard(name)
        if not skipping:
            kept.append(line)
    if missing:
        raise ValueError(f"not in the lock file, so they need not be dropped: {', '.join(sorted(missing))}")
    return "".join(kept)


def stripper(architecture: str) -> list[str] | None:
    """Returns the program that removes debug symbols from this architecture's libraries; None if it is not
    installed."""
    machine = _MACHINES[architecture]
    if platform.machine() == machine and shutil.which("strip"):
        return ["strip", "--strip-unneeded"]
    for name in (f"{machine}-linux-gnu-strip", "llvm-strip"):
        if shutil.which(name):
            return [name, "--strip-unneeded"]
    return None


def _strip(root: Path, architecture: str) -> None:
    argv = stripper(architecture)
    if argv is None:
        print_progress(
            f"{architecture}: no strip for it here (install llvm): libraries keep their symbols, the image is larger"
        )
        return
    for library in sorted(root.rglob("*.so*")):
        if library.is_symlink() or not library.is_file() or not _is_elf(library):
            continue
        slim = library.with_name(f"{library.name}.slim")
        run([*argv, "-o", slim, library])
        if loads(slim.read_bytes()):
            slim.replace(library)
        else:
            slim.unlink()


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:  # libraries may have gigabytes
        return opened.read(len(_ELF)) == _ELF


def loads(library: bytes) -> bool:
    """Returns whether each segment of a 64-bit little-endian ELF file is aligned as it declares.

    strip breaks this in libraries that patchelf has changed, such as those that a wheel bundles.
    """
    (offset,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    for at in range(offset, offset + size * count, size):
        kind, _, file_offset, address, _, _, _, alignment = struct.unpack_from("<IIQQQQQQ", library, at)
        if kind == _LOAD and (address - file_offset) % max(alignment, 1):
            return False
    return True


def _pip() -> list[str]:
    """Returns a pip that runs in the images' Python version, which evaluates the markers in a lock file."""
    python = compiler()
    options = ["--disable-pip-version-check", "--no-input"]
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return [python, "-m", "pip", *options]
    other = shutil.which("pip3") or shutil.which("pip")
    if other is None:
        raise BuildError("pip is missing: install python3-pip")
    return [other, "--python", python, *options]


def _platforms(architecture: str) -> list[str]:
    machine = _MACHINES[architecture]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC_MINOR, 16, -1)]
    every = [*tags, f"manylinux2014_{machine}", f"linux_{machine}"]
    version = f"{PYTHON[0]}.{PYTHON[1]}"
    return [
        "--python-version",
        version,
        "--implementation",
        "cp",
        *(word for tag in every for word in ("--platform", tag)),
    ]
