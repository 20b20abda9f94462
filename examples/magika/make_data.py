#!/usr/bin/env python3
"""Writes evaluation.npz and calibration.npz for magika, from the generated files of samples.py.

The labels of the evaluation set are the source model's own answers. So the measured accuracy is agreement with the
source: a compressed model cannot be better than the source here, only equal.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import samples

INPUT = "bytes"
HALF = 1024
"""The number of bytes that the model sees of a file's beginning, and of its end."""
BLOCK = 4096
"""The number of bytes at either end in which white space is removed."""
PADDING = 256


def features(file: bytes) -> np.ndarray:
    """Returns ``file`` as the model takes it, int32 [2048]: beginning and end without white space, padded in
    between."""
    beginning = file[:BLOCK].lstrip()[:HALF]
    end = file[-BLOCK:].rstrip()[-HALF:]
    padding = [PADDING] * (2 * HALF - len(beginning) - len(end))
    return np.array([*beginning, *padding, *end], np.int32)


def answers(model: Path, inputs: np.ndarray) -> np.ndarray:
    """Returns the class that ``model`` gives each of ``inputs``, int64 [N]."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    batches = np.array_split(inputs, max(1, len(inputs) // 32))
    return np.concatenate([session.run(None, {INPUT: batch})[0].argmax(1) for batch in batches]).astype(np.int64)


def main() -> None:
    """Writes the data sets of the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model.onnx that fetch.py has written")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to (%(default)s)")
    parser.add_argument("--evaluation", type=int, default=1000, help="number of files (%(default)s)")
    parser.add_argument("--calibration", type=int, default=128, help="number of other files (%(default)s)")
    options = parser.parse_args()

    inputs = np.stack([features(file) for file in samples.make(options.evaluation, seed=1)])
    np.savez_compressed(options.output / "evaluation.npz", bytes=inputs, label=answers(options.model, inputs))
    inputs = np.stack([features(file) for file in samples.make(options.calibration, seed=2)])
    np.savez_compressed(options.output / "calibration.npz", bytes=inputs)


if __name__ == "__main__":
    main()
