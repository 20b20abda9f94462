"""ONNX models, checked before anything of them runs."""
