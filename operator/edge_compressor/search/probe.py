"""A first run of a candidate, in a process of its own: ``… -m edge_compressor.search.probe MODEL FEEDS OPTIMIZED``.

Kernels of rare operator combinations have crashed whole processes; a crash here costs the search only the candidate. It
runs the model once on FEEDS (.npz) and writes the graph as onnxruntime runs it to OPTIMIZED.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np

from edge_runtime.backends import onnxruntime
from edge_runtime.datatypes import Array
from edge_runtime.tuning import Tuning

MAX_SECONDS: Final = 300


def look(model: Path, feed: dict[str, Array], optimized: Path) -> str | None:
    """Returns what is wrong with ``model``; None if it ran, and then ``optimized`` was written."""
    feeds = optimized.with_suffix(".npz")
    np.savez(feeds, allow_pickle=False, **feed)
    command = [sys.executable, "-m", "edge_compressor.search.probe", str(model), str(feeds), str(optimized)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"onnxruntime did not answer within {MAX_SECONDS} s"
    finally:
        feeds.unlink()
    if done.returncode < 0:
        return f"onnxruntime was ended by {signal.Signals(-done.returncode).name}"
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return f"onnxruntime cannot run it: {said[-1][:300] if said else 'it said nothing'}"
    return None


def main() -> None:
    """Writes the optimized graph of a model; the arguments are the paths of the model, its inputs and the output."""
    model, feeds, optimized = map(Path, sys.argv[1:4])
    with np.load(feeds, allow_pickle=False) as feed:
        onnxruntime.write_optimized(model, optimized, Tuning(), dict(feed))


if __name__ == "__main__":
    main()
