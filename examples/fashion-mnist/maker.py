#!/usr/bin/env python3
"""Makes a model from weights: the converter that from-weights.yaml names, for an image of your own.

Its interface is two variables: EDGEMODEL_WEIGHTS is the file to read, EDGEMODEL_MODEL the one to write. If it fails,
the EdgeModel's condition shows the end of its output.
"""

import json
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """A block of two convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of shape (N, outputs, H, W), H and W divided by the stride."""
        return functional.relu(self.second(functional.relu(self.first(x))) + self.shortcut(x))


class Network(nn.Module):
    """The network of train.py, with BatchNorm folded: float32 [N, 1, 28, 28] in 0..1 to logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.body = nn.Sequential(
            Residual(16, 32, stride=2), Residual(32, 32), Residual(32, 64, stride=2), Residual(64, 64)
        )
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Returns the logits, (N, 10), of images of shape (N, 1, 28, 28)."""
        features = self.body(functional.relu(self.stem(image)))
        return self.head(features.mean(dim=(2, 3)))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Returns float32 tensors like safetensors.torch.load_file, for images without that package."""
    data = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    values = torch.frombuffer(data, dtype=torch.uint8, offset=begin)
    return {
        name: values[slice(*entry["data_offsets"])].clone().view(torch.float32).reshape(entry["shape"])
        for name, entry in header.items()
    }


def main() -> None:
    """Writes the model with the weights that the converter was given."""
    network = Network().eval()
    network.load_state_dict(read_weights(Path(os.environ["EDGEMODEL_WEIGHTS"])))
    batch = {"image": {0: torch.export.Dim("N")}}
    program = torch.export.export(network, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=batch)
    torch.export.save(program, os.environ["EDGEMODEL_MODEL"])


if __name__ == "__main__":
    main()
