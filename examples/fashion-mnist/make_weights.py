#!/usr/bin/env python3
"""Writes the weights of model.onnx as weights.safetensors, for a model whose architecture is not published.

The format is simple enough to be written here: a length, a header in JSON, and the values one after the other.
"""

import argparse
import json
from pathlib import Path

import onnx
from onnx import numpy_helper

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parents[1] / "build" / "examples" / HERE.name / "weights.safetensors"


def write_weights(model: Path, output: Path) -> Path:
    """Writes the float32 weights of an ONNX model as safetensors to ``output``, which is returned."""
    header, data = {}, b""
    for tensor in onnx.load(model).graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:  # the exporter's own constants
            continue
        values = numpy_helper.to_array(tensor)
        offsets = [len(data), len(data) + values.nbytes]
        header[tensor.name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": offsets}
        data += values.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return output


def main() -> None:
    """Writes the weights of the example's model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file to write (%(default)s)")
    print(write_weights(HERE / "model.onnx", parser.parse_args().output))


if __name__ == "__main__":
    main()
