"""The processor of this machine and its instruction sets, on which int8 answers and speeds depend."""

import platform
from dataclasses import dataclass
from pathlib import Path

INSTRUCTION_SETS = (
    # x86
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16",
    # arm
    "neon", "asimd", "fphp", "asimdhp", "asimddp", "asimdfhm", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme",
)  # fmt: skip
"""The instruction sets that the kernels of ONNX Runtime (MLAS) are chosen by, as Linux names them."""

_FLAGS = ("flags", "Features")
_NAMES = ("Model", "model name", "Hardware")
"""The fields with a name, best first: a board says more than its processor."""


@dataclass(frozen=True)
class Processor:
    """A processor, as the kernel describes it."""

    name: str
    """The name of the processor; empty if the kernel does not say."""
    architecture: str
    """The architecture as the kernel names it, such as ``x86_64``."""
    instruction_sets: tuple[str, ...]
    """The members of INSTRUCTION_SETS that the processor has, in their order."""


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo"), board: Path = Path("/proc/device-tree/model")) -> Processor:
    """Returns the first processor, as the kernel describes it."""
    said: dict[str, str] = {}
    for line in _read(cpuinfo).splitlines():
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())
    flags = set(next((said[key] for key in _FLAGS if key in said), "").split())
    name = next((said[key] for key in _NAMES if said.get(key)), "") or _read(board).strip("\0\n ")
    return Processor(name, platform.machine(), tuple(item for item in INSTRUCTION_SETS if item in flags))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
