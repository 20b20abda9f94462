"""ONNX Runtime: the only module that opens its sessions, so that each has the same guarantees.

They run on the CPU, without libraries of custom operators and without threads that spin while they wait.
"""

from collections.abc import Iterable, Mapping, Sequence
from ctypes import string_at
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from edge_runtime.backend import Device, LoadedModel, LoadFailure, Placement, RefusedInputs, RunFailure
from edge_runtime.datatypes import BFLOAT16, BY_ONNX_TYPE, Array
from edge_runtime.generation import Generator
from edge_runtime.onnx_decoder import OnnxDecoder
from edge_runtime.signature import Signature
from edge_runtime.tuning import Arena, Tuning
from edge_runtime.weight_files import has_operator, outside_bytes
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.error_words import in_words

MAX_LOADED_BYTES = 10**9
"""The size of files of weights above which they are mapped, unless the tuning says otherwise."""
_SMALL_PRODUCT = "MatMulNBits"
MUCH_LARGER = 2.0
_WEIGHT = 0.05
"""The weight of the latest request in the running average of sizes."""
_ONNX_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
_LOG_FATAL = 4  # an exception tells everything less
_PROVIDER = "CPUExecutionProvider"


class OnnxRuntime:
    """The back end of ONNX Runtime."""

    name = "ONNXRuntime"
    version: str = ort.__version__
    server_layers = ()  # it is in the base of server images

    def load(self, path: Path, tuning: Tuning, device: Device) -> LoadedModel:
        """Raises LoadFailure, also for a device other than the CPU, and for an input or output that the protocol or the
        runtime's Python interface cannot carry."""
        if device.kind != "CPU":
            raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"ONNX Runtime serves on the CPU here, not on {device.kind}")
        try:
            return OnnxRuntimeModel(path, tuning)
        except Exception as error:  # the exceptions of ONNX Runtime have no common base
            raise LoadFailure(reasons.MODEL_LOAD_FAILED, in_words(error)) from error

    def load_generator(self, path: Path, tuning: Tuning) -> Generator:
        """Returns the decoder, whose steps use all threads that ``tuning`` allows: its sequences take turns.

        Raises LoadFailure.
        """
        threads = tuning.intra_op_threads * tuning.concurrency
        try:
            model = OnnxRuntimeModel(path, replace(tuning, intra_op_threads=threads))
        except Exception as error:  # the exceptions of ONNX Runtime have no common base
            raise LoadFailure(reasons.MODEL_LOAD_FAILED, in_words(error)) from error
        return model.decoder()


BACKEND = OnnxRuntime()


def write_optimized(path: Path, optimized: Path, tuning: Tuning, feeds: Mapping[str, Array]) -> None:
    """Writes the graph of the model at ``path`` to ``optimized`` as ONNX Runtime runs it, and runs it once.

    Raises whatever ONNX Runtime raises.
    """
    options = _session_options(tuning)
    options.optimized_model_filepath = str(optimized)
    ort.InferenceSession(str(path), options, providers=[_PROVIDER]).run(None, feeds)


class OnnxRuntimeModel(LoadedModel):
    """One session, with the tensors that it declares."""

    platform = "onnxruntime_onnx"
    concurrent = True

    def __init__(self, path: Path, tuning: Tuning) -> None:
        """Raises whatever ONNX Runtime raises, ValueError for a tensor that cannot be carried."""
        options = _session_options(tuning, mapped=_is_mapped(path, tuning))
        self._session = ort.InferenceSession(str(path), options, providers=[_PROVIDER])
        # ``InferenceSession.run`` checks again what its caller has checked, at a fifth of a small model's time.
        self._run = getattr(self._session, "_sess", self._session).run
        self._usual_bytes = 0.0
        """The running average of the size of all inputs, in bytes."""
        self._run_options = _run_options()
        self._burst_options = _run_options()
        if tuning.arena is Arena.SHRINK:
            self._burst_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.signature = Signature(
            _declared(self._session.get_inputs()),
            _declared(self._session.get_outputs()),
            _declared(self._session.get_overridable_initializers()),
        )
        self.placed: Placement = dict.fromkeys(self._session.get_providers())
        sides = (self.signature.inputs, self.signature.optional, self.signature.outputs)
        datatypes = {tensor.datatype for side in sides for tensor in side.values()}
        if {BFLOAT16, "BYTES"} <= datatypes:
            raise ValueError(
                "the model has both bfloat16 and string tensors, which the runtime's Python interface cannot mix"
            )
        self._has_bfloat16 = BFLOAT16 in datatypes

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Raises RefusedInputs, RunFailure."""
        options = self._burst_options if self._is_burst(feeds) else self._run_options
        try:
            if self._has_bfloat16:
                return self._run_values(feeds, outputs, options)
            arrays: list[Array] = self._run(outputs, feeds, options)
        except Exception as error:
            raise self._failure(error, feeds) from error
        return arrays

    def run_usual(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Runs as ``run`` does, for a model without BF16 and a request of the usual size."""
        try:
            arrays: list[Array] = self._run(outputs, feeds, self._run_options)
        except Exception as error:
            raise self._failure(error, feeds) from error
        return arrays

    def decoder(self) -> OnnxDecoder:
        """Returns the model as a decoder with a cache. Raises LoadFailure for a graph of another form."""
        return OnnxDecoder(self, self._session, ort)

    def close(self) -> None:
        """Frees the session."""
        del self._session, self._run

    def _failure(self, error: Exception, feeds: Mapping[str, Array]) -> RunFailure:
        """Returns the error of a failed run, which names the request as the cause only if its sizes contradict each
        other."""
        if isinstance(error, InvalidArgument):
            return RefusedInputs(f"the model refuses the inputs: {in_words(error)}")
        if isinstance(error, Fail | RuntimeException) and (said := self._contradiction(feeds)) is not None:
            return RefusedInputs(said)
        return RunFailure(in_words(error))

    def _is_burst(self, feeds: Mapping[str, Array]) -> bool:
        """Returns whether a request is so much larger than usual that the memory of its run is released afterwards.

        Releasing memory after every run would take time and, because of what the allocator keeps then, more memory.
        """
        size = 0
        for array in feeds.values():
            size += array.nbytes
        usual = self._usual_bytes or size
        self._usual_bytes = usual + _WEIGHT * (size - usual)
        return size > usual * MUCH_LARGER

    def _contradiction(self, feeds: Mapping[str, Array]) -> str | None:
        """Returns the name of the dimension that has two different sizes in ``feeds``; None if there is none."""
        seen: dict[str, tuple[str, int]] = {}
        for argument in self._session.get_inputs():
            for size, actual in zip(argument.shape, feeds[argument.name].shape, strict=True):
                if not isinstance(size, str):
                    continue
                before = seen.setdefault(size, (argument.name, actual))
                if before[1] != actual:
                    return f"{size} is {before[1]} in input {before[0]!r} and {actual} in input {argument.name!r}"
        return None

    def _run_values(self, feeds: Mapping[str, Array], outputs: Sequence[str], options: ort.RunOptions) -> list[Array]:
        """Runs a model with BF16, which numpy does not have: its values are passed as the uint16 with the same bits."""
        declared = {**self.signature.inputs, **self.signature.optional}
        values = {
            name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _ONNX_BFLOAT16)
            if declared[name].datatype == BFLOAT16
            else ort.OrtValue.ortvalue_from_numpy(array)
            for name, array in feeds.items()
        }
        return [_array(value) for value in self._session.run_with_ort_values(outputs, values, options)]


def _is_mapped(path: Path, tuning: Tuning) -> bool:
    """Returns whether the weights stay in their files.

    By their size, those of products of 4 or 8 bits do not: these are several times slower without their own layout.
    """
    if tuning.mapped is not None:
        return tuning.mapped
    return outside_bytes(path) > MAX_LOADED_BYTES and not has_operator(path, _SMALL_PRODUCT)


def _session_options(tuning: Tuning, *, mapped: bool = False) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = tuning.intra_op_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    options.enable_cpu_mem_arena = tuning.arena is not Arena.OFF
    if mapped or not tuning.prepacking:
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _run_options() -> ort.RunOptions:
    options = ort.RunOptions()
    options.log_severity_level = _LOG_FATAL
    return options


def _declared(arguments: Iterable[Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for argument in arguments:
        if argument.type not in BY_ONNX_TYPE:
            refused = f"{argument.name!r} is a {argument.type}, which the protocol cannot carry"
            raise ValueError(f"{refused}: {_cure(argument)}")
        shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in argument.shape)
        tensors[argument.name] = Tensor(argument.name, BY_ONNX_TYPE[argument.type].name, shape)
    return tensors


def _cure(argument: Any) -> str:
    if argument.type.startswith("seq(map("):
        return "a ZipMap makes it of a tensor; export the model without (skl2onnx: options={'zipmap': False})"
    return "export the model with tensors of numbers or strings alone"


def _array(value: Any) -> Array:
    if value.element_type() != _ONNX_BFLOAT16:
        array: Array = value.numpy()
        return array
    data = string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(data, "<u2").reshape(value.shape())
