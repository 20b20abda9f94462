"""Sessions of onnxruntime, and the machine they run on.

The only place that opens a session, so that each one has the same guarantees: the CPU, no custom
operator libraries, no more threads than the container may use, no worker that spins while it waits.
"""

import math
import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgemodel.artifact import Tensor

Array = NDArray[Any]

_DATATYPES: Final = {
    "tensor(bool)": ("BOOL", np.dtype(np.bool_)),
    "tensor(uint8)": ("UINT8", np.dtype(np.uint8)),
    "tensor(uint16)": ("UINT16", np.dtype(np.uint16)),
    "tensor(uint32)": ("UINT32", np.dtype(np.uint32)),
    "tensor(uint64)": ("UINT64", np.dtype(np.uint64)),
    "tensor(int8)": ("INT8", np.dtype(np.int8)),
    "tensor(int16)": ("INT16", np.dtype(np.int16)),
    "tensor(int32)": ("INT32", np.dtype(np.int32)),
    "tensor(int64)": ("INT64", np.dtype(np.int64)),
    "tensor(float16)": ("FP16", np.dtype(np.float16)),
    "tensor(float)": ("FP32", np.dtype(np.float32)),
    "tensor(double)": ("FP64", np.dtype(np.float64)),
    "tensor(string)": ("BYTES", np.dtype(np.str_)),
}
"""onnxruntime's words -> (Open Inference Protocol's, numpy's)."""

_DTYPES: Final = dict(_DATATYPES.values())

_INSTRUCTION_SETS: Final = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Flags of /proc/cpuinfo that decide which kernels onnxruntime takes."""


def open_session(path: Path, *, threads: int, optimized: Path | None = None) -> ort.InferenceSession:
    """``optimized``: where the graph is written as it will run. Raises one of RUN_ERRORS when it cannot be loaded."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


RUN_ERRORS: Final[tuple[type[Exception], ...]] = (
    ort.capi.onnxruntime_pybind11_state.Fail,
    ort.capi.onnxruntime_pybind11_state.InvalidArgument,
    ort.capi.onnxruntime_pybind11_state.InvalidGraph,
    ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    ort.capi.onnxruntime_pybind11_state.NoSuchFile,
    ort.capi.onnxruntime_pybind11_state.NotImplemented,
    ort.capi.onnxruntime_pybind11_state.RuntimeException,
    ValueError,  # wrong input names
    RuntimeError,
)
"""What a session raises, when it is opened or run; onnxruntime gives them no common base."""


def tensors(session: ort.InferenceSession) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Declared inputs and outputs. Raises ValueError for one that is no tensor of a served type."""
    return tuple(map(_tensor, session.get_inputs())), tuple(map(_tensor, session.get_outputs()))


def dtype_of(tensor: Tensor) -> np.dtype[Any]:
    return _DTYPES[tensor.datatype]


def run(session: ort.InferenceSession, feeds: dict[str, Array]) -> list[Array]:
    """All outputs, in declared order."""
    return [np.asarray(output) for output in session.run(None, feeds)]


@cache
def available_threads() -> int:
    """Processors that this container may use: its affinity, and its CPU limit rounded up. At least 1."""
    processors = len(os.sched_getaffinity(0))
    limit = _cpu_limit(Path("/sys/fs/cgroup/cpu.max"))
    return max(1, min(processors, math.ceil(limit))) if limit else processors


def hardware() -> dict[str, Any]:
    """Of this machine: processor, architecture, the instruction sets that kernels are chosen by."""
    text = _read(Path("/proc/cpuinfo"))
    flags = set(re.sub(r"^(flags|Features)\s*:", "", _line(text, "flags") or _line(text, "Features")).split())
    name = _line(text, "model name").partition(":")[2].strip()
    if not name:
        name = _read(Path("/proc/device-tree/model")).strip("\0\n ") or platform.processor() or "unknown"
    return {
        "processor": name,
        "architecture": platform.machine(),
        "instructionSets": [known for known in _INSTRUCTION_SETS if known in flags],
        "availableThreads": available_threads(),
    }


def _tensor(argument: Any) -> Tensor:
    if argument.type not in _DATATYPES:
        raise ValueError(f"{argument.name!r} is {argument.type}; only {', '.join(_DTYPES)} tensors can be served")
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in argument.shape)
    return Tensor(argument.name, _DATATYPES[argument.type][0], shape)


def _cpu_limit(path: Path) -> float | None:
    quota, _, period = _read(path).strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _line(text: str, key: str) -> str:
    return next((line for line in text.splitlines() if line.startswith(key)), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
