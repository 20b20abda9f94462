"""Builds torch without NVIDIA's libraries, 3.4 GB that a CPU never runs: ``python -m charts.images.torch_cpu FOLDER``.

PyPI's torch for Linux is made for GPUs, and loads only with these libraries beside it. Here they become stubs of a few
KB, in which every function returns 100: cudaErrorNoDevice, as the real ones do without a GPU, and torch uses the CPU.
Real libraries that are installed are found first, as torch looks beside itself last.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from .progress import BuildError, run

_NVIDIAS = re.compile(r"lib(?!cuda\.)(cu|nv|nccl)")
"""The pattern of the names of libraries in NVIDIA's wheels. libcuda belongs to the driver: torch asks for it only after
it has seen a GPU."""
_ANSWER = {"x86_64": "movl $100, %eax\nret", "aarch64": "mov w0, #100\nret"}
_GPU_CODE = (".nv_fatbin", "__nv_relfatbin")

Stub = Mapping[str, set[str]]
"""The functions of a stub by version; the empty version has those without one."""


def add_stubs(torch: Path) -> list[Path]:
    """Writes the stubs that torch's libraries (of the package's folder ``torch``) need beside them, and returns their
    paths.

    It writes none if torch is not made for GPUs. Raises BuildError on a machine for which there are no stubs yet.
    """
    folder = torch / "lib"
    wanted = _wanted(folder)
    answer = _ANSWER.get(platform.machine(), "")
    if wanted and not answer:
        raise BuildError(f"there are no stubs of NVIDIA's libraries for {platform.machine()}")
    return [_write(folder / name, stub, answer) for name, stub in sorted(wanted.items())]


def blank_gpu_code(torch: Path) -> int:
    """Zeroes the code that only a GPU can run, so that it compresses to nothing. Returns the number of bytes.

    The sections stay, because removing them would move everything after them.
    """
    blanked = 0
    for library in sorted((torch / "lib").glob("libtorch_*.so")):
        for name, size, offset in _sections(library):
            if name in _GPU_CODE:
                with library.open("r+b") as file:
                    file.seek(offset)
                    file.write(bytes(size))
                blanked += size
    return blanked


def _wanted(folder: Path) -> dict[str, Stub]:
    """Returns the symbols that torch's libraries take from each stub, by its file name."""
    stubs: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for library in sorted(folder.glob("lib*.so*")):
        needed, versions = _links(library)
        nvidias = [name for name in needed if _NVIDIAS.match(name)]
        for name in nvidias:
            stubs[name]
        if not nvidias:
            continue
        for symbol, version in _undefined(library):
            owner = versions.get(version, "") if version else _namesake(symbol, nvidias)
            if owner in nvidias:
                stubs[owner][version].add(symbol)
    return {name: dict(functions) for name, functions in stubs.items()}


def _namesake(symbol: str, libraries: Iterable[str]) -> str | None:
    """Returns the library of a function without a version, whose name begins with it: ``ncclGetVersion`` is of
    ``libnccl.so.2``."""
    fits = [name for name in libraries if symbol.lower().startswith(name[3:].split(".")[0].lower())]
    return max(fits, key=len, default=None)


def _links(library: Path) -> tuple[list[str], dict[str, str]]:
    """Returns the libraries that it needs, and the library of each symbol version."""
    text = run(["objdump", "-p", library])
    versions = {}
    for found in re.finditer(r"required from (\S+):\n((?:\s+0x\S+ 0x\S+ \d+ \S+\n)+)", text):
        versions |= {line.split()[-1]: found[1] for line in found[2].splitlines()}
    return re.findall(r"^\s*NEEDED\s+(\S+)", text, re.MULTILINE), versions


def _undefined(library: Path) -> Iterable[tuple[str, str]]:
    """Yields (name, version; empty without one) of the symbols that it requires from other libraries."""
    for line in run(["nm", "-D", "--undefined-only", "--with-symbol-versions", library]).splitlines():
        kind, symbol = line.split()
        if kind == "U":
            name, _, version = symbol.partition("@")
            yield name, version.lstrip("@")


def _sections(library: Path) -> Iterable[tuple[str, int, int]]:
    """Yields (name, bytes, offset in the file) of each section."""
    lines = re.compile(r"^\s*\d+ (\S+)\s+([0-9a-f]+)\s+[0-9a-f]+\s+[0-9a-f]+\s+([0-9a-f]+)", re.MULTILINE)
    for name, size, offset in lines.findall(run(["objdump", "-h", library])):
        yield name, int(size, 16), int(offset, 16)


def _write(library: Path, stub: Stub, answer: str) -> Path:
    """Writes a stub, in which all names are the same few instructions."""
    functions = sorted(name for names in stub.values() for name in names)
    labels = "".join(f".globl {name}\n.type {name}, %function\n{name}:\n" for name in functions)
    with tempfile.TemporaryDirectory() as scratch:
        source, made, versions = (Path(scratch) / name for name in ("stub.s", "stub.o", "versions"))
        source.write_text(f'.text\n{labels}{answer}\n.section .note.GNU-stack,"",%progbits\n')
        run(["as", "-o", made, source])
        versions.write_text(
            "".join(f"{name} {{ global: {'; '.join(sorted(stub[name]))}; }};\n" for name in sorted(stub) if name)
        )
        script = [f"--version-script={versions}"] if versions.read_text() else []
        run(["ld", "-shared", "--build-id=none", "-soname", library.name, *script, "-o", library, made])
    return library


def main() -> int:
    """Replaces the libraries of one installed torch and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m charts.images.torch_cpu", description=__doc__)
    parser.add_argument("torch", type=Path, metavar="FOLDER", help="where torch is installed: …/site-packages/torch")
    try:
        written = add_stubs(parser.parse_args().torch)
    except BuildError as error:
        print(f"torch_cpu: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in written)
    print(f"{len(written)} stubs, {size} bytes, take the place of NVIDIA's libraries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
