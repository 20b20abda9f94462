"""Serves one ONNX model over the Open Inference Protocol v2: one pod per node and revision runs it."""

__version__ = "0.1.0"
