"""The artifact: a folder of files, which becomes layers on the server's image.

Each large file is a layer of its own, so that an image with another tokenizer, golden set or report shares the weights
with the one before, on nodes and in the registry. Everything else is the last layer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from edge_compressor.models.weight_files import MIN_OWN_FILE_BYTES
from edge_compressor.registries.access import RegistryAccess, pushing
from edge_oci.images import LayeredSettings, LayerImage, push_layered
from edge_oci.layers import Compression, Entry, Layer, compression_for, write_layer
from edge_oci.references import Reference, parse_reference
from edge_runtime import backends
from edge_runtime.decoder import decoder_of
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.errors import Stalled
from edgemodel.job_input import PublishTarget
from edgemodel.names import (
    ANNOTATION_ARTIFACT,
    GOLDEN_FILE,
    LABEL_MODEL,
    LABEL_VARIANT,
    MANIFEST_FILE,
    MODEL_DIRECTORY,
    PAGE_FILE,
    REPORT_FILE,
    TOKENIZER_FILE,
    TOKENIZERS_LAYER,
    artifact_tag,
)

NOTES: Final = (GOLDEN_FILE, MANIFEST_FILE, PAGE_FILE, REPORT_FILE)
"""The files beside the model in an artifact; golden.npz may be missing."""


@dataclass(frozen=True)
class PublishedImage:
    """An artifact's image in the registry, with its sizes."""

    image: str
    """The reference ``<repository>@sha256:…`` of the index over architectures, without a host."""
    layers: tuple[Layer, ...]
    """The layers of the artifact, the last of which holds its manifest and reports."""
    server_layers: dict[str, str]
    """The images of the named layers below the model, by name."""

    @property
    def transfer_bytes(self) -> int:
        """The bytes of the artifact's layers as they travel to a node that has none of them."""
        return sum(layer.size for layer in self.layers)


def publish(
    folder: Path, manifest: ArtifactManifest, target: PublishTarget, access: RegistryAccess, scratch: Path
) -> PublishedImage:
    """Pushes ``folder`` below MODEL_DIRECTORY on the image ``target.base`` and the named layers of its runtime.

    The image is made for every platform that the base and those layers have. The index, under the tag
    ``<fingerprint>-<variant>``, is pushed last: a push that breaks off before leaves no image. Equal files give an
    equal digest. Raises Stalled(ArtifactRejected, ServerLayerMissing), Transient(RegistryUnreachable).
    """
    needed = _server_layers(manifest, target)
    *under, layer = write_layers(folder, manifest, scratch, cast(Compression, target.layer_compression))
    labels = {LABEL_MODEL: manifest.model, LABEL_VARIANT: manifest.variant}
    digests = {ANNOTATION_ARTIFACT: manifest.artifact_digest, "edgemodel.io/source": manifest.source_digest}
    tag = artifact_tag(manifest.fingerprint, manifest.variant)
    with pushing(f"publishing {target.repository}:{tag}"):
        base = parse_reference(target.base)
        pushed = push_layered(
            access.registries("base").repository(base),
            base.version,
            access.registries("push").repository(Reference(target.registry, target.repository)),
            layer,
            under=under,
            between=[_image_of(parse_reference(each), access) for each in needed.values()],
            settings=LayeredSettings(labels=labels | digests, annotations=digests, created_by="edgemodel compressor"),
            tag=tag,
        )
    for each in (*under, layer):
        each.path.unlink()
    return PublishedImage(f"{target.repository}@{pushed.index.digest}", (*under, layer), needed)


def write_layers(
    folder: Path, manifest: ArtifactManifest, scratch: Path, compression: Compression
) -> tuple[Layer, ...]:
    """Writes the layers of the artifact in ``folder`` to files in ``scratch``, those of large files first."""
    names = {name for name in (*NOTES, *(manifest.files or (manifest.model_file,))) if (folder / name).exists()}
    large = sorted(name for name in names if (folder / name).stat().st_size >= MIN_OWN_FILE_BYTES)
    layers = []
    for number, name in enumerate(large):
        entries: dict[str, Entry | Path | bytes] = {f"{MODEL_DIRECTORY}/{name}": folder / name}
        packed = compression_for(folder / name, compression)
        layers.append(write_layer(entries, scratch / f"layer-{number}", compression=packed))
    rest: dict[str, Entry | Path | bytes] = {
        f"{MODEL_DIRECTORY}/{name}": folder / name for name in names.difference(large)
    }
    return (*layers, write_layer(rest, scratch / "layer", compression=compression))


def _image_of(reference: Reference, access: RegistryAccess) -> LayerImage:
    return LayerImage(access.registries("base").repository(reference), reference.version)


def _server_layers(manifest: ArtifactManifest, target: PublishTarget) -> dict[str, str]:
    """Returns the images of the named layers that the artifact's runtime needs, by name, the lowest first.

    Raises Stalled(ServerLayerMissing).
    """
    names = backends.find(manifest.runtime).server_layers
    generates = decoder_of(manifest.inputs, manifest.outputs) is not None
    if TOKENIZER_FILE in manifest.files and (generates or TOKENIZERS_LAYER in target.server_layers):
        names = (*names, TOKENIZERS_LAYER)  # any other model serves without it, though no texts
    missing = [name for name in names if name not in target.server_layers]
    if missing:
        raise Stalled(
            reasons.SERVER_LAYER_MISSING,
            f"{_who(manifest, missing[0])} needs the layer {missing[0]} in its image, and the operator is told "
            f"of {', '.join(sorted(target.server_layers)) or 'none'}: name its image in the chart's server.layers",
        )
    return {name: target.server_layers[name] for name in names}


def _who(manifest: ArtifactManifest, layer: str) -> str:
    return "a model that generates text" if layer == TOKENIZERS_LAYER else f"the runtime {manifest.runtime}"
