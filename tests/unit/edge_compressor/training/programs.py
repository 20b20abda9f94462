"""Small programs that train in a second, and a task that can be learned: which of four patterns an image shows."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

CLASSES, SIDE = 4, 12
Array = NDArray[Any]


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


class Network(nn.Module):
    """A network from float32 [n, 1, 12, 12] to logits [n, 4]."""

    def __init__(self, channels: int = 16, classes: int = CLASSES, flat: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(channels), Block(channels))
        self.drop = nn.Dropout(0.1)
        self.flat = flat
        self.head = nn.Linear(channels * (36 if flat else 1), classes)

    def forward(self, image: Tensor) -> Tensor:
        features = self.blocks(torch.relu(self.stem(image)))
        features = features.view(features.size(0), -1) if self.flat else features.mean(dim=(2, 3))
        return self.head(self.drop(features))


def save(network: nn.Module, path: Path, *, dynamic: bool = True) -> Path:
    shapes = {"image": {0: torch.export.Dim("n")}} if dynamic else None
    network.eval()
    program = torch.export.export(network, (torch.zeros(2, 1, SIDE, SIDE),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def trained(channels: int = 16, *, seed: int = 0, epochs: int = 4, flat: bool = False) -> Network:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = Network(channels, flat=flat)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    images, labels = (torch.from_numpy(array) for array in samples(1024, seed=1))
    for _ in range(epochs):
        for one, label in zip(images.split(64), labels.split(64), strict=True):
            loss = nn.functional.cross_entropy(network.train()(one), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def samples(count: int, *, seed: int, noise: float = 0.6, dim: bool = False) -> tuple[Array, Array]:
    """Returns stripes down, stripes across, a checkerboard or a ring, in noise; images [count, 1, 12, 12] and labels.

    With ``dim`` they are half as strong and brighter, as from another camera.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    radius = np.hypot(rows - 5.5, columns - 5.5)
    patterns = np.stack(
        [columns // 2 % 2, rows // 2 % 2, (rows // 3 + columns // 3) % 2, (radius > 2) & (radius < 4.5)]
    )
    labels = random.integers(0, CLASSES, count)
    images = patterns[labels] - 0.5 + noise * random.standard_normal((count, SIDE, SIDE))
    images = 1.5 + 0.5 * images if dim else images
    return images[:, None].astype(np.float32), labels.astype(np.int64)


def write(path: Path, count: int, *, seed: int, labels: bool = True, **how: Any) -> Path:
    images, label = samples(count, seed=seed, **how)
    np.savez(path, image=images, **({"label": label} if labels else {}))
    return path
