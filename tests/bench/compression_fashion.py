"""Parts (a) and (d): a Fashion-MNIST residual network, trained, pruned, distilled and quantized by one recipe; and each
importance and each step alone, on the same source with the same epochs.

The source is trained once and kept. Ratios are to the source as ONNX, measured by turns on one thread.
"""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_compressor import pipeline
from edge_compressor.checkpoints.store import CheckpointFolder
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel.compression_request import EXPORTED_PROGRAM, CompressionRequest, Recipe, Source
from tests.bench.prerequisites import DebianPackage
from tests.support import manifests

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/fashion-mnist"
SOURCE_EPOCHS = 8
MANIFEST = EXAMPLE / "smallest.yaml"
"""The manifest with the complete recipe, as a user applies it."""
DATASET = Path("/usr/share/datasets/fashion-mnist")
PREREQUISITES = tuple(
    DebianPackage("dataset-fashion-mnist", str(DATASET / f"{split}-idx3-ubyte.gz"), "training on Fashion-MNIST")
    for split in ("train-images", "t10k-images")
)
ALONE = {"epochs": 2, "augmentation": "FlipShift"}
ALONE_SAMPLES = 20_000
"""The number of training samples of each single step: a third of the set, because differences show after a minute."""


def step(kind: str, **settings: Any) -> dict[str, Any]:
    """Returns a step as a manifest has it, named like its type."""
    return {"name": kind.lower(), "type": kind, **({kind[0].lower() + kind[1:]: settings} if settings else {})}


POST_TRAINING = (
    "CleanGraph", "QuantizeDynamic", "QuantizeStatic", "PruneWeights", "ClusterWeights", "LowRank",
)  # fmt: skip
STEPS: Mapping[str, Sequence[dict[str, Any]]] = {
    **{
        f"PruneChannels {importance} {scope}, Distill": (
            step("PruneChannels", importance=importance, scope=scope), step("Distill", **ALONE),
        )
        for importance in ("L1", "L2", "Taylor", "Entropy", "Correlation")
        for scope in ("Local", "Global")
    },
    "PruneChannels L1, FineTune": (step("PruneChannels"), step("FineTune", **ALONE)),
    "PruneLayers, Distill": (step("PruneLayers"), step("Distill", **ALONE)),
    "PruneWeights 80 % while it trains": (step("PruneWeights", sparsityPercent=80, **ALONE),),
    "QuantizeAware": (step("QuantizeAware", **ALONE),),
    **{kind: (step(kind),) for kind in POST_TRAINING},
    "Convert FP16Weights": (step("Convert", precision="FP16Weights"),),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """The figures of one recipe."""

    recipe: str
    bytes_ratio: float
    """The ratio of the source's file size to the artifact's."""
    transfer_ratio: float
    """The ratio of the bytes that a node downloads."""
    speed_ratio: float
    """The ratio of the median latencies."""
    drop_percent: float
    """The drop of accuracy in points, which has a 90 % interval."""
    drop_lower_percent: float
    drop_upper_percent: float


def run_full(folder: Path, cache: Path, progress: Progress) -> tuple[list[dict[str, Any]], list[Run]]:
    """Returns the (targets, runs) of the complete recipe."""
    recipe = manifests.read(MANIFEST.read_text())["spec"]["compression"]["steps"]
    found = measure(MANIFEST.name, recipe, inputs(cache, progress), folder, progress, cache)
    show([found])
    targets = [
        target("fashion-mnist: transfer bytes", found.transfer_ratio, 20.0, "x"),
        target("fashion-mnist: speed", found.speed_ratio, 3.4, "x"),
        target("fashion-mnist: points lost, upper end", found.drop_upper_percent, 1.0, "points", at_most=True),
    ]
    return targets, [found]


def run_steps(folder: Path, cache: Path, progress: Progress) -> tuple[list[dict[str, Any]], list[Run]]:
    """Returns no targets, and the runs: a table by which a user can choose."""
    files = {**inputs(cache, progress), "training": folder / "training.npz"}
    with np.load(inputs(cache, progress)["training"]) as arrays:
        np.savez(files["training"], allow_pickle=False, **{name: arrays[name][:ALONE_SAMPLES] for name in arrays.files})
    runs = []
    for number, (name, steps) in enumerate(STEPS.items()):
        runs.append(measure(name, steps, files, folder / str(number), progress))
        show(runs[-1:], head=not number)
    return [], runs


def target(name: str, value: float, goal: float, unit: str, *, at_most: bool = False) -> dict[str, Any]:
    """Returns a target with its value, and whether that reaches ``goal``; with ``at_most``, whether it stays below."""
    holds = value <= goal if at_most else value >= goal
    sign = "<=" if at_most else ">="
    return {"name": name, "goal": f"{sign} {goal:g}", "value": round(value, 2), "unit": unit, "holds": holds}


def measure(
    name: str,
    steps: Sequence[dict[str, Any]],
    files: Mapping[str, Path],
    work: Path,
    progress: Progress,
    cache: Path | None = None,
) -> Run:
    """Returns the measurement of one recipe. ``cache`` has the checkpoints from which an interrupted training
    continues."""
    request = CompressionRequest(
        source=Source(str(files["source"]), format=EXPORTED_PROGRAM),
        datasets={use: Source(str(path)) for use, path in files.items() if use != "source"},
        recipes=(Recipe("default", tuple(steps)),),
    )
    checkpoints = CheckpointFolder(cache / "checkpoints") if cache else None
    fetcher = Fetcher(RegistryAccess(), progress, local_paths=True)
    (made,) = pipeline.run(request, "fashion-mnist", fetcher, work / "work", progress, checkpoints=checkpoints)
    evidence = made.manifest.evidence
    source, artifact, drop = evidence["source"], evidence["artifact"], evidence["evaluation"]["accuracyDrop"]
    latency = evidence["latency"]
    return Run(
        recipe=name,
        bytes_ratio=source["sizeBytes"] / artifact["sizeBytes"],
        transfer_ratio=source["transferBytes"] / artifact["transferBytes"],
        speed_ratio=latency["source"]["p50Milliseconds"] / latency["artifact"]["p50Milliseconds"],
        drop_percent=float(drop["percent"]),
        drop_lower_percent=float(drop["lowerPercent"]),
        drop_upper_percent=float(drop["upperPercent"]),
    )


def show(runs: Sequence[Run], *, head: bool = True) -> None:
    """Prints a line for each run; the head of the table, too, unless ``head`` is False."""
    if head:
        print(f"\n{'':44}{'smaller':>9}{'transfer':>10}{'faster':>8}   points lost (90 % interval)")
    for one in runs:
        lost = f"{one.drop_percent:5.2f} ({one.drop_lower_percent:.2f} to {one.drop_upper_percent:.2f})"
        print(f"{one.recipe:44}{one.bytes_ratio:8.2f}x{one.transfer_ratio:9.2f}x{one.speed_ratio:7.2f}x   {lost}")
    sys.stdout.flush()


def inputs(cache: Path, progress: Progress) -> dict[str, Path]:
    """Returns the trained source and its data sets, by use; makes those that the cache lacks."""
    recipe = hashlib.sha256((EXAMPLE / "train.py").read_bytes() + str(SOURCE_EPOCHS).encode()).hexdigest()[:12]
    folder = cache / f"fashion-{recipe}"
    files = {"source": folder / "source.pt2"}
    files |= {use: folder / f"{use}.npz" for use in ("training", "calibration", "evaluation")}
    if not all(path.exists() for path in files.values()):
        folder.mkdir(parents=True, exist_ok=True)
        progress.say("training the source")
        _make(files)
    return files


def _make(files: Mapping[str, Path]) -> None:
    sys.path.insert(0, str(EXAMPLE))
    import torch
    from make_data import DATASET
    from train import Network, export_program, tensors, train

    torch.manual_seed(1)
    torch.set_num_threads(os.cpu_count() or 1)
    network = Network().to(memory_format=torch.channels_last)
    images, labels = tensors(DATASET, "train")
    train(network, images, labels, epochs=SOURCE_EPOCHS, batch=128, seed=1)
    export_program(network.to(memory_format=torch.contiguous_format), files["source"])
    tests, test_labels = tensors(DATASET, "t10k")
    images = images.contiguous()
    np.savez(files["training"], image=images.numpy(), label=labels.numpy())
    np.savez(files["calibration"], image=images[:512].numpy())
    np.savez(files["evaluation"], image=tests.contiguous().numpy(), label=test_labels.numpy())
