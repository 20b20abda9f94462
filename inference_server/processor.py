"""What the processor of this machine calls itself, and what it can do: int8 answers and speeds depend on it."""

from pathlib import Path

INSTRUCTION_SETS = (
    # x86
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16",
    # arm
    "neon", "asimd", "fphp", "asimdhp", "asimddp", "asimdfhm", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme",
)  # fmt: skip
"""As Linux calls them; of those that the kernels of onnxruntime (MLAS) choose between."""

_FLAGS = ("flags", "Features")
_NAMES = ("Model", "model name", "Hardware")
"""The first that is there: a board says more than its processor."""


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, tuple[str, ...]]:
    """(name, instruction sets) of the first processor; empty where the kernel does not say."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return "", ()
    said: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())
    flags = set(next((said[key] for key in _FLAGS if key in said), "").split())
    name = next((said[key] for key in _NAMES if said.get(key)), "")
    return name, tuple(item for item in INSTRUCTION_SETS if item in flags)
