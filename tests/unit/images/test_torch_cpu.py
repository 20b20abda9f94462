"""The stubs: libraries that were linked against others load with them, and see no GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from charts.images.torch_cpu import add_stubs, blank_gpu_code

pytestmark = pytest.mark.lab_programs

NO_DEVICE = 100


def assemble(library: Path, source: str, *options: str | Path, versions: str = "") -> None:
    """Compiles a library of one source, like torch's and NVIDIA's."""
    library.parent.mkdir(parents=True, exist_ok=True)
    text, made, script = (library.with_suffix(suffix) for suffix in (".s", ".o", ".map"))
    text.write_text(source + '.section .note.GNU-stack,"",%progbits\n')
    script.write_text(versions)
    subprocess.run(["as", "-o", made, text], check=True)
    extra = [f"--version-script={script}"] if versions else []
    subprocess.run(["ld", "-shared", "-soname", library.name, "-o", library, made, *extra, *options], check=True)
    for path in (text, made, script):
        path.unlink()


def functions(*names: str) -> str:
    return ".text\n" + "".join(f".globl {name}\n.type {name}, %function\n{name}:\n" for name in names) + "ret\n"


@pytest.fixture
def torch(tmp_path: Path) -> Path:
    """Returns torch's folder, linked against libraries like NVIDIA's that no longer exist."""
    gone, lib = tmp_path / "nvidia", tmp_path / "torch" / "lib"
    assemble(gone / "libcudart.so.13", functions("cudaMalloc"), versions="libcudart.so.13 { global: *; };")
    assemble(gone / "libnvshmem_host.so.3", functions("nvshmem_put"), versions="NVSHMEM { global: *; };")
    assemble(gone / "libcusparse.so.12", functions("cusparseCreate"))
    assemble(gone / "libcusparseLt.so.0", functions("cusparseLtInit"))
    assemble(gone / "libcurand.so.10", functions("curandCreate"))
    called = ("cudaMalloc", "nvshmem_put", "cusparseCreate", "cusparseLtInit")
    source = "".join(f".globl ask_{name}\nask_{name}: jmp {name}@PLT\n" for name in called)
    gpu_code = '.section .nv_fatbin,"a",%progbits\n.fill 1000, 1, 7\n.data\n.globl kept\nkept: .byte 7\n'
    needed = sorted(gone.iterdir())
    assemble(lib / "libtorch_cuda.so", f".text\n{source}{gpu_code}", *needed, "-rpath", "$ORIGIN", "--no-as-needed")
    assemble(lib / "libtorch_cpu.so", functions("add"))
    for library in needed:
        library.unlink()
    return tmp_path / "torch"


def ask(torch: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Returns each function's answer, one per line. It runs in its own process, because the real torch loads stubs as
    well."""
    program = "import ctypes, sys\nfor name in sys.argv[2:]: print(ctypes.CDLL(sys.argv[1])[f'ask_{name}']())"
    command = [sys.executable, "-c", program, torch / "lib/libtorch_cuda.so", *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_function_returns_that_there_is_no_gpu(torch: Path) -> None:
    assert "cannot open shared object file" in ask(torch, "cudaMalloc").stderr
    written = add_stubs(torch)
    assert [path.name for path in written] == [
        "libcudart.so.13", "libcurand.so.10", "libcusparse.so.12", "libcusparseLt.so.0", "libnvshmem_host.so.3",
    ]  # fmt: skip
    asked = ("cudaMalloc", "nvshmem_put", "cusparseCreate", "cusparseLtInit")
    assert ask(torch, *asked).stdout.split() == [str(NO_DEVICE)] * len(asked)


def test_stubs_are_the_same_bytes_each_time(torch: Path) -> None:
    first = {path.name: path.read_bytes() for path in add_stubs(torch)}
    assert {path.name: path.read_bytes() for path in add_stubs(torch)} == first


def test_a_torch_that_is_made_for_the_cpu_gets_no_stubs(torch: Path) -> None:
    (torch / "lib/libtorch_cuda.so").unlink()
    assert add_stubs(torch) == []


def test_gpu_code_becomes_zeroes_and_nothing_else_does(torch: Path) -> None:
    library = torch / "lib/libtorch_cuda.so"
    before = library.read_bytes()
    assert blank_gpu_code(torch) == 1000
    assert library.read_bytes() == before.replace(bytes([7] * 1000), bytes(1000))
    assert library.read_bytes().count(7) == before.count(7) - 1000
