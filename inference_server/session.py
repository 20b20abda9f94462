"""One ONNX Runtime session: what it declares, and how it runs."""

from collections.abc import Iterable, Mapping, Sequence
from ctypes import string_at
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from edgemodel.artifact import Tensor
from inference_server.datatypes import BY_ONNX_TYPE
from inference_server.errors import UnfitRequest
from inference_server.protocol.infer import Signature
from inference_server.protocol.tensors import Array
from inference_server.tuning import Arena, Tuning

_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
_LOG_ERRORS = 3
MUCH_LARGER = 2.0
_WEIGHT = 0.05
"""Of the latest request in the running average of sizes."""


class Model:
    def __init__(self, path: Path, tuning: Tuning) -> None:
        """Loads from the path, not from bytes: those would stay in memory beside the session.

        Raises whatever ONNX Runtime raises, ValueError for an input or output
        that the protocol or the runtime's Python interface cannot carry.
        """
        self._session = ort.InferenceSession(str(path), _session_options(tuning), providers=["CPUExecutionProvider"])
        # ``InferenceSession.run`` checks again what the protocol has checked, at a fifth of a small model's time.
        self._run = getattr(self._session, "_sess", self._session).run
        self._usual_bytes = 0.0
        """Running average of the size of all inputs."""
        self._run_options = _run_options()
        self._burst_options = _run_options()
        if tuning.arena is Arena.SHRINK:
            self._burst_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.signature = Signature(_declared(self._session.get_inputs()), _declared(self._session.get_outputs()))
        tensors = [*self.signature.inputs.values(), *self.signature.outputs.values()]
        datatypes = {tensor.datatype for tensor in tensors}
        if {"BF16", "BYTES"} <= datatypes:
            raise ValueError(
                "the model has both bfloat16 and string tensors, which the runtime's Python interface cannot mix"
            )
        self._has_bfloat16 = "BF16" in datatypes

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """One array for each name in ``outputs``; safe to call from several threads.

        Raises UnfitRequest when the model finds the values unfit (an index out of its table, say).
        """
        options = self._burst_options if self._is_burst(feeds) else self._run_options
        try:
            if self._has_bfloat16:
                return self._run_values(feeds, outputs)
            arrays: list[Array] = self._run(outputs, feeds, options)
        except Exception as error:
            if (unfit := self._unfit(error, feeds)) is not None:
                raise unfit from error
            raise
        return arrays

    def run_small(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """As ``run``, of a model without BF16 and a request that is no burst."""
        try:
            arrays: list[Array] = self._run(outputs, feeds, self._run_options)
        except Exception as error:
            if (unfit := self._unfit(error, feeds)) is not None:
                raise unfit from error
            raise
        return arrays

    def _unfit(self, error: Exception, feeds: Mapping[str, Array]) -> UnfitRequest | None:
        """Where the request is at fault.

        What breaks within a run may be the model's fault or the request's: only where sizes contradict each other it is
        known.
        """
        if isinstance(error, InvalidArgument):
            return UnfitRequest(f"the model refuses the inputs: {error}")
        if isinstance(error, Fail | RuntimeException) and (said := self._contradiction(feeds)) is not None:
            return UnfitRequest(said)
        return None

    def _is_burst(self, feeds: Mapping[str, Array]) -> bool:
        """Whether a request is so much larger than usual that the memory of its run is not kept for the next.

        To give memory back after every run would take time and, with what the allocator keeps then, more memory.
        """
        size = 0
        for array in feeds.values():
            size += array.nbytes
        usual = self._usual_bytes or size
        self._usual_bytes = usual + _WEIGHT * (size - usual)
        return size > usual * MUCH_LARGER

    def _contradiction(self, feeds: Mapping[str, Array]) -> str | None:
        """Dimensions that the model calls by one name, and that have two sizes."""
        seen: dict[str, tuple[str, int]] = {}
        for argument in self._session.get_inputs():
            for size, actual in zip(argument.shape, feeds[argument.name].shape, strict=True):
                if not isinstance(size, str):
                    continue
                before = seen.setdefault(size, (argument.name, actual))
                if before[1] != actual:
                    return f"{size} is {before[1]} in input {before[0]!r} and {actual} in input {argument.name!r}"
        return None

    def _run_values(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """The way for BF16, which numpy does not have: the values go in and out as the uint16 that hold them."""
        values = {
            name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _BFLOAT16)
            if self.signature.inputs[name].datatype == "BF16"
            else ort.OrtValue.ortvalue_from_numpy(array)
            for name, array in feeds.items()
        }
        return [_array(value) for value in self._session.run_with_ort_values(outputs, values, self._burst_options)]


def _session_options(tuning: Tuning) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = tuning.threads_per_request
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS
    options.enable_cpu_mem_arena = tuning.arena is not Arena.OFF
    if not tuning.prepacking:
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _run_options() -> ort.RunOptions:
    options = ort.RunOptions()
    options.log_severity_level = _LOG_ERRORS
    return options


def _declared(arguments: Iterable[Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for argument in arguments:
        if argument.type not in BY_ONNX_TYPE:
            raise ValueError(f"{argument.name!r} is a {argument.type}, which the protocol cannot carry")
        shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
        tensors[argument.name] = Tensor(argument.name, BY_ONNX_TYPE[argument.type].name, shape)
    return tensors


def _array(value: Any) -> Array:
    if value.element_type() != _BFLOAT16:
        array: Array = value.numpy()
        return array
    data = string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(data, "<u2").reshape(value.shape())
