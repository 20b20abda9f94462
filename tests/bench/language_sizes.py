"""Sizes: the weights of each bit width, the layers of an artifact as they travel, and the images below them."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charts.images import building, catalogue
from edge_compressor.progress import Progress
from edge_compressor.publishing.artifact_image import write_layers
from edgemodel.artifact import ArtifactManifest
from edgemodel.names import MANIFEST_FILE
from tests.bench.language_models import Models
from tests.bench.language_ratios import exact

PLATFORM = "linux/amd64"
LAST_LAYER_MB, TOKENIZERS_MB, SERVER_MB = 5.0, 5.0, 40.0


@dataclass(frozen=True)
class Sizes:
    """The sizes of one bit width in bytes."""

    width: str
    weights_bytes: int
    llama_bytes: int
    layers: Sequence[int]
    """The sizes of the artifact's layers, compressed, the last of which holds everything but large files."""


def run(
    models: Models, folder: Path, options: argparse.Namespace, progress: Progress
) -> tuple[list[dict[str, Any]], list[Sizes]]:
    """Returns the (targets, runs)."""
    runs, targets = [], []
    for width in options.widths:
        own = models.ours[width]
        manifest = ArtifactManifest.decode((own / MANIFEST_FILE).read_bytes())
        scratch = folder / width.replace(" ", "-")
        scratch.mkdir()
        layers = write_layers(own, manifest, scratch, "zstd")
        runs.append(Sizes(width, *models.bytes_of(width), [layer.size for layer in layers]))
        name = f"layer of tokenizer, graph and reports, {width}"
        targets.append(exact(name, layers[-1].size / 1e6, LAST_LAYER_MB, "MB"))
    for image, limit in ((catalogue.TOKENIZERS, TOKENIZERS_MB), (catalogue.SERVER, SERVER_MB)):
        progress.say(f"building {image.name}")
        (layers_of,) = building.build(image, [PLATFORM]).layers.values()
        size = sum(layer.size for layer in layers_of) / 1e6
        kind = "layer" if image is catalogue.TOKENIZERS else "image"
        targets.append(exact(f"{kind} {image.name}, in a registry", size, limit, "MB"))
    return targets, runs
