"""Other servers around the same model, each as its own documentation would have it; run in an environment of its own.

``python <peer>.py MODEL PORT``: serves the ONNX file at 127.0.0.1:PORT, one process, one thread of ONNX Runtime.
"""
