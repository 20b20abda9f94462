"""A first run of a candidate, in a child process, which also writes the graph as onnxruntime runs it.

Kernels of rare operator combinations have crashed whole processes; a crash here costs the search only the candidate.
"""

import signal
from pathlib import Path
from typing import Final

from edge_compressor.child_process import Crashed, FailedInChild, UnreadableAnswer, call
from edge_compressor.models.feed_file import read_feed, write_feed
from edge_runtime.backends import onnxruntime
from edge_runtime.datatypes import Array
from edge_runtime.tuning import Tuning

MAX_SECONDS: Final = 300


def look(model: Path, feed: dict[str, Array], optimized: Path) -> str | None:
    """Returns what is wrong with ``model``; None if it ran, and then ``optimized`` was written."""
    path = optimized.absolute().with_name("feed.npz")
    try:
        names = write_feed(path, feed)
        call(
            write_optimized, str(model.absolute()), str(optimized.absolute()), str(path), names, max_seconds=MAX_SECONDS
        )
    except FailedInChild as failure:
        return f"onnxruntime cannot run it: {failure}"
    except Crashed as crash:
        if crash.number == signal.SIGALRM:
            return f"onnxruntime did not answer within {MAX_SECONDS} s"
        if crash.number == signal.SIGKILL:
            return "onnxruntime was killed (signal 9), most likely because memory was too small for it"
        return f"onnxruntime crashed (signal {crash.number}) while it loaded or ran it"
    except UnreadableAnswer as answer:
        return f"the process that ran it alone gave an answer that cannot be read ({answer})"
    finally:
        path.unlink(missing_ok=True)
    return None


def write_optimized(model: str, optimized: str, feed: str, names: list[str]) -> None:
    """Writes the optimized graph of a model and runs it once, on the arrays ``names`` in the file ``feed``.

    Raises whatever ONNX Runtime raises.
    """
    onnxruntime.write_optimized(Path(model), Path(optimized), Tuning(), read_feed(Path(feed), names))
