"""An image as one file, for clusters without a registry: an OCI layout in a tar, as ``ctr images import`` reads it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from edge_oci.descriptors import IMAGE_INDEX, IMAGE_MANIFEST, Descriptor
from edge_oci.images import Platform, compose_image, compose_index
from edgemodel.digest import canonical_json, digest_of

from .building import BuiltImage, config, labels

_NAME = "io.containerd.image.name"


def write_archive(built: BuiltImage, path: Path, *, name: str) -> None:
    """Writes the archive to ``path``; its index has the same digest as in a registry. ``name`` is
    ``host/repository:tag``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = labels(built.image)
    blobs: dict[str, bytes | Path] = {}
    images: dict[Platform, Descriptor] = {}
    for platform, layers in built.layers.items():
        blobs |= {layer.digest: layer.path for layer in layers}
        settings, manifest = compose_image(config(built.image, platform), layers, annotations=notes)
        images[platform] = _keep(blobs, canonical_json(manifest), IMAGE_MANIFEST)
        blobs[digest_of(settings)] = settings
    index = _keep(blobs, canonical_json(compose_index(images, annotations=notes)), IMAGE_INDEX)
    top = {
        "schemaVersion": 2,
        "mediaType": IMAGE_INDEX,
        "manifests": [index.to_json() | {"annotations": {_NAME: name}}],
    }
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        _add(archive, "oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", canonical_json(top))
        for digest in sorted(blobs):
            _add(archive, f"blobs/{digest.replace(':', '/')}", blobs[digest])


def _keep(blobs: dict[str, bytes | Path], data: bytes, media_type: str) -> Descriptor:
    blobs[digest_of(data)] = data
    return Descriptor(media_type, digest_of(data), len(data))


def _add(archive: tarfile.TarFile, name: str, source: bytes | Path) -> None:
    info = tarfile.TarInfo(name)
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        info.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        archive.addfile(info, file)
