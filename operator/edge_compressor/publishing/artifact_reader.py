"""Reads the small files of a published artifact's layer, without its model."""

import io
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from edge_compressor.registries.access import RegistryAccess, pulling
from edge_oci.blobs import pull_blob
from edge_oci.client import Repository
from edge_oci.descriptors import LAYER_ZSTD, Descriptor, list_of, object_of
from edge_oci.images import platforms_of
from edge_oci.manifests import get_manifest
from edge_oci.references import Reference
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.names import ANNOTATION_ARTIFACT, MANIFEST_FILE, MODEL_DIRECTORY, PAGE_FILE, REPORT_FILE

NOTES: Final = (MANIFEST_FILE, REPORT_FILE, PAGE_FILE)
MAX_BYTES: Final = 8 << 20
"""The largest size of such a file; no compressor makes a larger one."""


def read_notes(reference: Reference, access: RegistryAccess) -> dict[str, bytes]:
    """Returns the NOTES of an artifact's image by name, without those that an older compressor did not write.

    The complete layer is downloaded, since only that can be checked against its digest; the model in it is never
    unpacked. Raises Stalled (SourceNotFound, SourceInvalid …) or Transient(SourceUnreachable).
    """
    with pulling(f"the artifact {reference}"), tempfile.TemporaryDirectory(prefix="edgemodel-") as scratch:
        repository = access.registries("source").repository(reference)
        blob = _model_layer(repository, reference)
        pull_blob(repository, blob, Path(scratch) / "layer")
        with (Path(scratch) / "layer").open("rb") as file:
            return _unpacked(file, blob.media_type, reference)


def _model_layer(repository: Repository, reference: Reference) -> Descriptor:
    """Returns the topmost layer, which is the same on every platform."""
    top = get_manifest(repository, reference.version)
    if ANNOTATION_ARTIFACT not in object_of(top.content, "annotations", str(reference)):
        raise Stalled(reasons.SOURCE_INVALID, f"{reference} is not an image of a compressed model")
    if top.is_index:
        top = get_manifest(repository, next(iter(platforms_of(repository, reference.version).values())).digest)
    layers = list_of(top.content, "layers", str(reference))
    if not layers:
        raise Stalled(reasons.SOURCE_INVALID, f"{reference} has no layers")
    return Descriptor.from_json(layers[-1])


def _unpacked(file: IO[bytes], media_type: str, reference: Reference) -> dict[str, bytes]:
    found = {}
    try:
        packed: Any = zstandard.ZstdDecompressor().stream_reader(file) if media_type == LAYER_ZSTD else file
        with tarfile.open(fileobj=packed, mode="r|" if media_type == LAYER_ZSTD else "r|*") as tar:
            for item in tar:
                folder, _, name = item.name.rpartition("/")
                if f"/{folder}" == MODEL_DIRECTORY and name in NOTES and item.size <= MAX_BYTES:
                    found[name] = (tar.extractfile(item) or io.BytesIO()).read()
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise Stalled(
            reasons.SOURCE_INVALID, f"{reference}: its last layer cannot be read: {in_words(error)}"
        ) from error
    return found
