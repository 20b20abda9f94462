"""The inference server, which serves one ONNX model over the Open Inference Protocol v2, as one pod per node and
revision."""

import os

# Both are read when the native library is loaded, so they are set before anything can import it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # on by default, to Microsoft; it also wants a directory to write
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads, one for each core, would only take memory
