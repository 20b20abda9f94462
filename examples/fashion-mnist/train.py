#!/usr/bin/env python3
"""Trains a small residual network on Fashion-MNIST and writes it as model.onnx, and as a program that can be trained.

The test images are used once, at the end: nothing is chosen by them. BatchNorm is folded into the convolutions before
the export, and the exporter's notes are left out of the file.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from make_data import CLASSES, DATASET, model_input, read_images
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

OPSET = 18


class ConvNorm(nn.Sequential):
    """A convolution and its BatchNorm; ``fold`` makes one convolution of the two."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs))

    def fold(self) -> nn.Conv2d:
        """Returns one convolution that does the same in inference."""
        return fuse_conv_bn_eval(self[0], self[1])


class Residual(nn.Module):
    """A block of two convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of shape (N, outputs, H, W), H and W divided by the stride."""
        y = self.second(functional.relu(self.first(x)))
        return functional.relu(y + self.shortcut(x))


class Network(nn.Module):
    """The network, from float32 [N, 1, 28, 28] in 0..1 to logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(1, 16)
        self.body = nn.Sequential(
            Residual(16, 32, stride=2), Residual(32, 32), Residual(32, 64, stride=2), Residual(64, 64)
        )
        self.head = nn.Linear(64, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        """Returns the logits, (N, 10), of images of shape (N, 1, 28, 28)."""
        features = self.body(functional.relu(self.stem(image)))
        return self.head(features.mean(dim=(2, 3)))


def augmented(images: Tensor, random: torch.Generator) -> Tensor:
    """Returns the images, half of them mirrored and all shifted by up to two pixels (one shift per batch is enough)."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=random) < 0.5
    images = torch.where(mirrored, images.flip(3), images)
    down, right = torch.randint(0, 5, (2,), generator=random).tolist()
    return functional.pad(images, (2, 2, 2, 2))[:, :, down : down + 28, right : right + 28]


def train(network: Network, images: Tensor, labels: Tensor, *, epochs: int, batch: int, seed: int) -> None:
    """Trains the network in place, the same way for the same ``seed``."""
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=epochs * steps, pct_start=0.25)
    network.train()
    for epoch in range(1, epochs + 1):
        started, total = time.monotonic(), 0.0
        order = torch.randperm(len(images), generator=random)
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            inputs = augmented(images[chosen], random).contiguous(memory_format=torch.channels_last)
            loss = functional.cross_entropy(network(inputs), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            if step % 20 == 0:
                print(f"\repoch {epoch}/{epochs}, step {step}/{steps}", end="", flush=True)
        print(f"\repoch {epoch}/{epochs}: loss {total / steps:.4f}, {time.monotonic() - started:.0f} s", flush=True)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Returns the share of ``images`` whose largest logit is the label's, in 0..1."""
    right = sum(
        int((network(x).argmax(1) == y).sum()) for x, y in zip(images.split(500), labels.split(500), strict=True)
    )
    return right / len(images)


def folded(network: Network) -> Network:
    """Returns ``network`` with each ConvNorm turned into one convolution; it can no longer be trained."""
    network.eval()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ConvNorm):
                setattr(module, name, child.fold())
    return network


def export(network: Network, path: Path) -> None:
    """Writes the network as ONNX with an open batch axis."""
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 1, 28, 28),),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim("N")}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    model = program.model_proto
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def export_program(network: Network, path: Path) -> None:
    """Exports the network unfolded, with BatchNorm and an open batch, for steps that train."""
    program = torch.export.export(
        network.eval(), (torch.zeros(2, 1, 28, 28),), dynamic_shapes={"image": {0: torch.export.Dim("batch")}}
    )
    torch.export.save(program, path)


def strip(model: onnx.ModelProto) -> None:
    """Removes the exporter's notes on stack traces and modules: a fifth of a small file."""
    del model.metadata_props[:]
    graph = model.graph
    for item in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""
    graph.name = "fashion-mnist"
    del graph.value_info[:]


def main() -> None:
    """Trains the model of the example and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=DATASET, help="folder of the four idx files (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "model.onnx", help="file to write (%(default)s)"
    )
    parser.add_argument("--program", type=Path, help="file to write the ExportedProgram to; none if not given")
    parser.add_argument("--epochs", type=int, default=16, help="%(default)s")
    parser.add_argument("--batch", type=int, default=128, help="images a step (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="%(default)s")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="%(default)s")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    network = Network().to(memory_format=torch.channels_last)
    print(f"{sum(parameter.numel() for parameter in network.parameters())} parameters")

    train(network, *tensors(options.dataset, "train"), epochs=options.epochs, batch=options.batch, seed=options.seed)
    if options.program:
        export_program(network.to(memory_format=torch.contiguous_format), options.program)
    network = folded(network)
    images, labels = tensors(options.dataset, "t10k")
    print(f"accuracy {accuracy(network, images, labels):.4f} on {len(images)} test images")
    export(network.to(memory_format=torch.contiguous_format), options.output)
    print(f"{options.output}: {options.output.stat().st_size} bytes")


def tensors(dataset: Path, split: str) -> tuple[Tensor, Tensor]:
    """Returns the images, (N, 1, 28, 28), and their labels, (N,), of a split."""
    pixels, labels = read_images(dataset, split)
    return torch.from_numpy(np.ascontiguousarray(model_input(pixels))), torch.from_numpy(labels)


if __name__ == "__main__":
    main()
