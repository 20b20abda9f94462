"""Cleans, quantizes and runs a small model in every way that the compressor does, and makes tokens of a text."""

import json
import tempfile
from pathlib import Path

import ml_dtypes  # noqa: F401
import numpy
import onnx
import onnxruntime
import onnxslim
import tokenizers
import zstandard
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers import optimizer  # noqa: F401


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Eight random samples for calibration."""

    def __init__(self) -> None:
        self.items = iter({"x": numpy.random.rand(1, 8).astype(numpy.float32)} for _ in range(8))

    def get_next(self) -> dict[str, numpy.ndarray] | None:
        """Returns the next sample; None after the last."""
        return next(self.items, None)


weights = numpy_helper.from_array(numpy.random.rand(8, 4).astype(numpy.float32), "w")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
    "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
slim = onnxslim.slim(model)
with tempfile.TemporaryDirectory() as name:
    work = Path(name)
    onnx.save(slim, str(work / "in.onnx"))
    quant_pre_process(str(work / "in.onnx"), str(work / "pre.onnx"))
    quantize_dynamic(str(work / "pre.onnx"), str(work / "dynamic.onnx"), weight_type=QuantType.QInt8)
    quantize_static(str(work / "pre.onnx"), str(work / "static.onnx"), Reader())
    for kind in ("in", "dynamic", "static"):
        session = onnxruntime.InferenceSession(str(work / f"{kind}.onnx"), providers=["CPUExecutionProvider"])
        session.run(None, {"x": numpy.ones((1, 8), dtype=numpy.float32)})
vocabulary = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
assert tokenizers.Tokenizer.from_str(json.dumps({"version": "1.0", "model": vocabulary})).encode("a").ids == [0]
assert zstandard.decompress(zstandard.compress(b"x" * 99)) == b"x" * 99
print(f"onnxslim, quantize_dynamic, quantize_static and three inferences with onnxruntime {onnxruntime.__version__}")
