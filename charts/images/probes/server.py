"""Runs one inference of a hand-written model, y = Relu(x), since this image has no onnx to make one."""

import httptools  # noqa: F401
import msgspec  # noqa: F401
import numpy
import onnxruntime
import prometheus_client
import uvicorn  # noqa: F401
import uvloop


def field(number: int, value: bytes | int) -> bytes:
    """Returns a protobuf field of fewer than 128 bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def tensor(name: bytes) -> bytes:
    """Returns the ValueInfoProto of a float tensor of shape [3]."""
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, field(1, field(1, 3)))))


node = field(1, b"x") + field(2, b"y") + field(4, b"Relu")
graph = field(1, node) + field(2, b"g") + field(11, tensor(b"x")) + field(12, tensor(b"y"))
model = field(1, 8) + field(7, graph) + field(8, field(2, 13))
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(answer,) = session.run(None, {"x": numpy.array([-1, 0, 2], dtype=numpy.float32)})
assert answer.tolist() == [0, 0, 2], answer
prometheus_client.generate_latest()
uvloop.new_event_loop().close()
print(f"onnxruntime {onnxruntime.__version__} answered {answer.tolist()}")
