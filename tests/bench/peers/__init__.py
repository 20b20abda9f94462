"""Other servers around the same model, each as its own documentation recommends, and each in its own environment.

``python <peer>.py MODEL PORT`` serves the ONNX file at 127.0.0.1:PORT, with one process and one thread of ONNX Runtime.
"""
