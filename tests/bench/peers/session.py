"""The session of every peer, with the same settings, which are not compared."""

import onnxruntime


def open_session(path: str) -> onnxruntime.InferenceSession:
    """Returns a session with the threads that all servers of the benchmark have: one, which does not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
