"""The first time that a model is loaded, in a child process: one that crashes its runtime is refused like any other.

Each model takes this way before the process of the compressor itself loads it: the source, which is a stranger's, and
what the steps make, because kernels of rare combinations of operators have crashed whole processes.
"""

import signal
from pathlib import Path
from typing import Final

from edge_compressor.child_process import Crashed, FailedInChild, UnreadableAnswer, call
from edge_runtime import backends
from edge_runtime.loading import load_model
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import ONNX_RUNTIME

RAN: Final = "ran"
_LOADED: Final = "loaded"


def why_it_crashes(path: Path, runtime: str, *, mapped: bool | None = None) -> str | None:
    """Returns why a process that loads the model at ``path`` ends; None if it does not end; ``mapped`` as ``Tuning``
    says.

    Exceptions are no crash: whoever loads the model next meets them too, and knows more. Raises MemoryError if the
    system ended the child process for its memory.
    """
    try:
        call(load, str(path.absolute()), runtime, mapped)
    except FailedInChild:
        return None
    except (Crashed, UnreadableAnswer) as end:
        return explain(end, runtime)
    return None


def load(path: str, runtime: str, mapped: bool | None = None) -> None:
    """Loads a model. Raises LoadFailure."""
    load_model(Path(path), runtime, Tuning(intra_op_threads=1, mapped=mapped))


def explain(end: Crashed | UnreadableAnswer, runtime: str) -> str:
    """Returns the message for the end of a runtime's process, without a remedy. Raises MemoryError for signal 9."""
    if isinstance(end, UnreadableAnswer):
        return f"the process that ran it alone gave an answer that cannot be read ({end}), so it is not trusted"
    if end.number == signal.SIGKILL:
        raise MemoryError from end
    name = f"onnxruntime {backends.find(runtime).version}" if runtime == ONNX_RUNTIME else f"the runtime {runtime}"
    return f"{name} crashed (signal {end.number}) while it {end.during or _LOADED} it"


def cure(reason: str) -> str:
    """Returns what the user can change about a model whose refusal has this ``reason``."""
    if reason == reasons.STEP_FAILED:
        return "change the step's settings (floatOpTypes, opTypes, excludeNodes), or take another step"
    return "export it anew, with another opset or another version of the exporter"
