"""Trains one step of a small network, exports it, and runs it as ONNX."""

import tempfile
from pathlib import Path

import onnxruntime
import safetensors.numpy  # noqa: F401
import torch
from torch import nn

assert not torch.cuda.is_available()
network = nn.Sequential(
    nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
)
optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
x, labels = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
before = nn.functional.cross_entropy(network(x), labels)
before.backward()
optimizer.step()
assert nn.functional.cross_entropy(network(x), labels) < before

network.eval()
shapes = ({0: torch.export.Dim("N")},)
with tempfile.TemporaryDirectory() as name:
    program = Path(name) / "net.pt2"
    torch.export.save(torch.export.export(network, (x,), dynamic_shapes=shapes), program)
    loaded = torch.export.load(program)
    exported = torch.onnx.export(loaded, dynamo=True, verbose=False)
    assert exported is not None
    exported.save(f"{name}/net.onnx")
    session = onnxruntime.InferenceSession(f"{name}/net.onnx", providers=["CPUExecutionProvider"])
    (input_,) = session.get_inputs()
    (answer,) = session.run(None, {input_.name: x.numpy()})
assert torch.allclose(torch.from_numpy(answer), network(x).detach(), atol=1e-4)
print(f"one step of training, torch.export, torch.onnx and one inference with torch {torch.__version__}")
