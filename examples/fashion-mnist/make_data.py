#!/usr/bin/env python3
"""Writes the data sets and request.json, from Debian's package ``dataset-fashion-mnist``.

It needs numpy alone, so that the data sets can be made without the libraries for training. The same package gives the
same bytes, hence the same digests.

Calibration uses training images, evaluation the first test images, and the request the test images after those.
"""

import argparse
import gzip
import json
import zipfile
from pathlib import Path

import numpy as np

DATASET = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def read_images(dataset: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as uint8 [N, 1, 28, 28] and labels as int64 [N] of ``split``, which is ``train`` or ``t10k``."""
    pixels = _read_idx(dataset / f"{split}-images-idx3-ubyte.gz")
    labels = _read_idx(dataset / f"{split}-labels-idx1-ubyte.gz")
    return pixels[:, np.newaxis], labels.astype(np.int64)


def model_input(pixels: np.ndarray) -> np.ndarray:
    """Returns the model's input: float32 in 0..1."""
    return pixels.astype(np.float32) / np.float32(255)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz with the best compression; equal arrays give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def one_of_each_class(pixels: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    """Returns an Open Inference Protocol request with the first image of each class, in the order of CLASSES."""
    first = [int(np.argmax(labels == label)) for label in range(len(CLASSES))]
    image = model_input(pixels[first])
    data = [round(float(value), 4) for value in image.ravel()]
    return {"inputs": [{"name": "image", "datatype": "FP32", "shape": list(image.shape), "data": data}]}


def main() -> None:
    """Writes the data sets of the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=DATASET, help="folder of the four idx files (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to (%(default)s)")
    parser.add_argument("--evaluation", type=int, default=3800, help="number of test images (%(default)s)")
    parser.add_argument("--calibration", type=int, default=512, help="number of training images (%(default)s)")
    parser.add_argument("--training", type=Path, help="file for the 60,000 training images; none if not given")
    options = parser.parse_args()

    pixels, labels = read_images(options.dataset, "t10k")
    count = options.evaluation
    write_npz(options.output / "evaluation.npz", image=model_input(pixels[:count]), label=labels[:count])
    request = one_of_each_class(pixels[count:], labels[count:])
    (options.output / "request.json").write_text(json.dumps(request, separators=(",", ":")) + "\n")

    pixels, labels = read_images(options.dataset, "train")
    count = options.calibration
    write_npz(options.output / "calibration.npz", image=model_input(pixels[:count]))
    if options.training:
        write_npz(options.training, image=model_input(pixels), label=labels)


def _read_idx(path: Path) -> np.ndarray:
    """Raises SystemExit, which says where to get the file, if it is missing."""
    if not path.exists():
        raise SystemExit(f"{path} is missing: apt-get install dataset-fashion-mnist, or --dataset with the idx files")
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", count=dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


if __name__ == "__main__":
    main()
