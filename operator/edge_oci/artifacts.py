"""Models and data sets in a registry: OCI 1.1 artifacts, one blob a file, named by its title.

The manifests of the CNCF ModelPack and of Docker's models have the same shape, and are read too: a blob's name is then
in another annotation, and a file's kind in the media type.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgemodel.error_words import in_words
from edgemodel.relative_name import check_names

from .blobs import pull_blob, push_blob
from .client import Repository
from .descriptors import EMPTY_CONFIG, IMAGE_MANIFEST, OCTETS, TITLE, Descriptor, list_of
from .errors import BlobTooLarge, InvalidContent
from .manifests import get_manifest, put_manifest

MODEL_PACK_PATH: Final = "org.cncf.model.filepath"
"""The annotation of a blob with its file's name in the CNCF ModelPack, which Docker's models use too."""
_NAMED: Final = (MODEL_PACK_PATH, TITLE)
_SUFFIXES: Final = {
    "application/vnd.docker.ai.gguf": ".gguf",
    "application/vnd.docker.ai.safetensors": ".safetensors",
    "application/vnd.docker.ai.chat.template.jinja": ".jinja",
}
"""The suffix of a file that has no name, by the beginning of its media type."""
_NOTHING = b"{}"


def push_artifact(
    repository: Repository,
    files: Mapping[str, Path],
    *,
    artifact_type: str,
    media_type: str = OCTETS,
    annotations: Mapping[str, str] | None = None,
    tag: str | None = None,
) -> Descriptor:
    """Pushes ``files`` (relative name -> path) as one artifact and returns its descriptor, whose digest is permanent.

    Equal files give an equal digest. Raises as ``push_blob`` and ``put_manifest``.
    """
    config = push_blob(repository, _NOTHING, media_type=EMPTY_CONFIG)
    layers = [
        push_blob(repository, files[title], media_type=media_type).to_json() | {"annotations": {TITLE: title}}
        for title in sorted(files)
    ]
    content = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": artifact_type,
        "config": config.to_json(),
        "layers": layers,
    }
    return put_manifest(repository, content | ({"annotations": dict(annotations)} if annotations else {}), tag=tag)


def files_of(repository: Repository, version: str) -> dict[str, Descriptor]:
    """Returns the files of an artifact by name, which is relative, with ``/`` between folders.

    Raises InvalidContent for an index, and for names that do not make a set of files below one folder.
    """
    manifest = get_manifest(repository, version)
    if manifest.is_index:
        raise InvalidContent(
            f"{repository} {version} is an index of images, not an artifact: name the artifact's digest"
        )
    blobs = [Descriptor.from_json(entry) for entry in list_of(manifest.content, "layers", f"{repository} {version}")]
    files = {_name_of(blob): blob for blob in blobs}
    if len(files) != len(blobs):
        raise InvalidContent(f"{repository} {version} has two files of the same name")
    try:
        check_names(files)
    except ValueError as error:
        raise InvalidContent(f"{repository} {version}: {in_words(error)}") from None
    return files


def _name_of(blob: Descriptor) -> str:
    for annotation in _NAMED:
        if annotation in blob.annotations:
            return blob.annotations[annotation]
    suffix = next((suffix for kind, suffix in _SUFFIXES.items() if blob.media_type.startswith(kind)), "")
    return blob.digest.replace(":", "-") + suffix


def pull_artifact(
    repository: Repository, version: str, folder: Path, *, max_bytes: int | None = None
) -> dict[str, Descriptor]:
    """Pulls every file of the artifact into ``folder``, verified, and returns their descriptors by name.

    ``max_bytes`` limits the sum of the announced sizes (None: no limit); BlobTooLarge is raised before a byte is
    pulled. Raises as ``files_of`` and ``pull_blob``.
    """
    files = files_of(repository, version)
    _limit(repository, version, sum(blob.size for blob in files.values()), max_bytes)
    for name, blob in files.items():
        pull_blob(repository, blob, folder / name)
    return files


def pull_file(repository: Repository, version: str, path: Path, *, max_bytes: int | None = None) -> Descriptor:
    """Pulls the only file of an artifact to ``path``, verified, and returns its descriptor; a broken pull is
    resumed.

    Raises InvalidContent when the artifact has not exactly one file, BlobTooLarge, and as ``pull_blob``.
    """
    files = files_of(repository, version)
    if len(files) != 1:
        raise InvalidContent(f"{repository} {version} has {len(files)} files ({', '.join(files)}), want exactly one")
    (blob,) = files.values()
    _limit(repository, version, blob.size, max_bytes)
    pull_blob(repository, blob, path)
    return blob


def _limit(repository: Repository, version: str, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise BlobTooLarge(f"{repository} {version} has {size} bytes, limit {max_bytes}")
