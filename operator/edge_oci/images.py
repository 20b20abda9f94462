"""Images, made of layers, or of a base image, named layers and one more layer; for one platform or several."""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgemodel.digest import canonical_json, digest_of

from .blobs import copy_blob, push_blob, read_blob
from .client import Repository
from .descriptors import (
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    LAYER_GZIP,
    LAYER_TAR,
    Descriptor,
    list_of,
    object_of,
    parse_json,
    texts_of,
)
from .errors import InvalidContent
from .layers import Layer
from .manifests import Manifest, get_manifest, put_manifest

MAX_CONFIG_BYTES = 4 << 20
EPOCH = "1970-01-01T00:00:00Z"
"""The ``created`` time of every image, so that the same content has the same digest."""

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"

_TO_OCI = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TAR,
}
# The rest of a Docker configuration ("container", "docker_version" …) describes the machine that made it.
_CONFIG_KEPT = ("architecture", "os", "variant", "os.version", "os.features", "author", "config", "rootfs", "history")


@dataclass(frozen=True)
class Platform:
    """A platform such as ``linux/amd64``, ``linux/arm64`` or ``linux/arm/v7``."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Raises ValueError when ``text`` is not ``os/architecture`` or ``os/architecture/variant``."""
        parts = text.split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise ValueError(f"not a platform: {text!r} (want linux/amd64 or linux/arm/v7)")
        return cls(*parts)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Platform":
        """Returns the platform of an index entry, or of an image configuration."""
        os, architecture, variant = (str(value.get(key) or "") for key in ("os", "architecture", "variant"))
        return cls(os, architecture, variant or None)

    def to_json(self) -> dict[str, str]:
        """Returns the platform as an index has it in JSON."""
        variant = {"variant": self.variant} if self.variant else {}
        return {"os": self.os, "architecture": self.architecture} | variant

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class PushedImage:
    """An index in a registry, with the image of each platform."""

    repository: Repository
    index: Descriptor
    platforms: Mapping[Platform, Descriptor]

    @property
    def reference(self) -> str:
        """The reference ``host/repository@sha256:…`` of the index."""
        return str(self.repository.reference(digest=self.index.digest))


@dataclass(frozen=True)
class LayeredSettings:
    """The settings that a new image adds to its base's; entries of the same name replace the base's."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    created_by: str = "edge_oci"


@dataclass(frozen=True)
class LayerImage:
    """Layers that are published alone, to be put on other images, as one image per platform.

    Its configuration holds their ``diff_ids``, and the variables (``Env``) of the image that they become part of.
    """

    repository: Repository
    version: str
    """A tag or digest."""


@dataclass(frozen=True)
class _PlatformImage:
    """The image of one platform, as it lies in a registry."""

    repository: Repository
    platform: Platform
    manifest: Manifest

    def __str__(self) -> str:
        return f"{self.repository}@{self.manifest.descriptor.digest}"

    @property
    def layers(self) -> list[Descriptor]:
        """The layers, lowest first, with Docker's media types turned into OCI's."""
        found = [Descriptor.from_json(entry) for entry in list_of(self.manifest.content, "layers", str(self))]
        return [Descriptor(_TO_OCI.get(blob.media_type, blob.media_type), blob.digest, blob.size) for blob in found]


def push_layered(
    base: Repository,
    base_version: str,
    target: Repository,
    layer: Layer | Mapping[Platform, Layer],
    *,
    between: Sequence[LayerImage] = (),
    under: Sequence[Layer] = (),
    settings: LayeredSettings | None = None,
    tag: str | None = None,
    platforms: Collection[Platform] | None = None,
) -> PushedImage:
    """Pushes ``base``, the layers ``between`` and ``under``, and one more layer as an index of images in ``target``.

    ``base_version`` is a tag or digest of an index or of a single image. ``layer`` is the same for every platform, or
    one for each that is made; those of ``under`` are the same. ``platforms`` None: those that the base and everything
    ``between`` have (or ``layer`` names). Layers that lie in a registry are mounted within it, or copied once. Docker's
    media types become OCI's; the layers' digests stay. Raises InvalidContent when the base or a layer lacks a platform
    that is asked for, or all of them together have none in common; and as the functions of blobs and manifests.
    """
    wanted = platforms if platforms is not None else (None if isinstance(layer, Layer) else list(layer))
    below = [_images_of(source, version, wanted) for source, version in _sources(base, base_version, between)]
    common = [platform for platform in below[0] if all(platform in images for images in below)]
    if not common:
        has = "; ".join(f"{next(iter(images.values())).repository}: {_listed(images)}" for images in below)
        raise InvalidContent(f"no platform is common to the base and its layers: {has}")
    how = settings or LayeredSettings()
    made: dict[Platform, Descriptor] = {}
    with tempfile.TemporaryDirectory(prefix="edge-oci-") as scratch:
        for platform in common:
            own = layer if isinstance(layer, Layer) else layer[platform]
            images_below = [images[platform] for images in below]
            made[platform] = _push_on_top(images_below, target, [*under, own], how, Path(scratch))
    return PushedImage(target, push_index(target, made, annotations=how.annotations, tag=tag), made)


def push_image(
    repository: Repository,
    config: Mapping[str, Any],
    layers: Sequence[Layer],
    *,
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Pushes the image that ``compose_image`` makes of the same arguments."""
    for layer in layers:
        push_blob(repository, layer.path, digest=layer.digest)
    full, manifest = compose_image(config, layers, annotations=annotations)
    push_blob(repository, full, media_type=IMAGE_CONFIG)
    return put_manifest(repository, manifest)


def push_index(
    repository: Repository,
    images: Mapping[Platform, Descriptor],
    *,
    annotations: Mapping[str, str] | None = None,
    tag: str | None = None,
) -> Descriptor:
    """Pushes an index of images that are already in ``repository``."""
    return put_manifest(repository, compose_index(images, annotations=annotations), tag=tag)


def compose_image(
    config: Mapping[str, Any], layers: Sequence[Layer], *, annotations: Mapping[str, str] | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Returns the configuration, as bytes, and the manifest of an image of ``layers``, lowest first.

    ``config`` is an OCI image configuration without rootfs and history.
    """
    full = canonical_json(
        {
            "created": EPOCH,
            **config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": EPOCH, "created_by": "edge_oci"} for _ in layers],
        }
    )
    return full, _manifest(full, [layer.descriptor for layer in layers], annotations or {})


def compose_index(
    images: Mapping[Platform, Descriptor], *, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Returns an index, sorted by platform."""
    entries = [images[platform].to_json() | {"platform": platform.to_json()} for platform in sorted(images, key=str)]
    content = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": entries}
    return content | _unless_empty(annotations or {})


def platforms_of(repository: Repository, version: str) -> dict[Platform, Descriptor]:
    """Returns the image of each platform of an index (attestations left out), or the one image of ``version``."""
    return {
        platform: image.manifest.descriptor for platform, image in _images_of(repository, version, wanted=None).items()
    }


def _sources(base: Repository, version: str, between: Sequence[LayerImage]) -> list[tuple[Repository, str]]:
    return [(base, version), *((image.repository, image.version) for image in between)]


def _listed(platforms: Collection[Platform]) -> str:
    return ", ".join(map(str, platforms)) or "no platform"


def _images_of(
    repository: Repository, version: str, wanted: Collection[Platform] | None
) -> dict[Platform, _PlatformImage]:
    """Raises InvalidContent when a platform of ``wanted`` is missing, or there is none at all."""
    top = get_manifest(repository, version)
    if not top.is_index:
        there = {Platform.from_json(_config(repository, top)): top.descriptor.digest}
    else:
        name = f"{repository} {version}"
        entries = list_of(top.content, "manifests", name)
        digests = [Descriptor.from_json(entry).digest for entry in entries]
        there = {
            platform: digest
            for entry, digest in zip(entries, digests, strict=True)
            if (platform := Platform.from_json(object_of(entry, "platform", name))).os not in {"", "unknown"}
        }
    missing = [str(platform) for platform in wanted or [] if platform not in there]
    if missing or not there:
        lacks = ", ".join(missing) or "one to build on"
        raise InvalidContent(f"{repository} {version} has {_listed(there)}, and not {lacks}")
    return {
        platform: _PlatformImage(repository, platform, get_manifest(repository, digest) if top.is_index else top)
        for platform, digest in there.items()
        if wanted is None or platform in wanted
    }


def _config(repository: Repository, manifest: Manifest) -> dict[str, Any]:
    config = Descriptor.from_json(manifest.content.get("config"))
    data = read_blob(repository, config, max_bytes=MAX_CONFIG_BYTES)
    return parse_json(data, f"the configuration of {repository}@{manifest.descriptor.digest}")


def _push_on_top(
    below: Sequence[_PlatformImage],
    target: Repository,
    own: Sequence[Layer],
    settings: LayeredSettings,
    scratch: Path,
) -> Descriptor:
    """Pushes the image of one platform. ``below`` holds the base, then the layers between it and its ``own``."""
    for image in below:
        for blob in image.layers:
            copy_blob(image.repository, target, blob, scratch)
    for layer in own:
        push_blob(target, layer.path, digest=layer.digest)
    base = below[0]
    config = _extend([(_config(image.repository, image.manifest), str(image)) for image in below], own, settings)
    origin = {BASE_NAME: str(base.repository), BASE_DIGEST: base.manifest.descriptor.digest}
    pushed = canonical_json(config)
    push_blob(target, pushed, media_type=IMAGE_CONFIG)
    layers = [*(blob for image in below for blob in image.layers), *(layer.descriptor for layer in own)]
    return put_manifest(target, _manifest(pushed, layers, {**settings.annotations, **origin}))


def _extend(
    below: Sequence[tuple[dict[str, Any], str]], layers: Sequence[Layer], settings: LayeredSettings
) -> dict[str, Any]:
    """Returns the base's configuration with the layers and variables of all below, and with its own ``layers``.

    ``below`` holds the configurations, the base's first, each with the name of its image. Raises InvalidContent if one
    has no list of layers.
    """
    base, name = below[0]
    config = {key: base[key] for key in _CONFIG_KEPT if key in base}
    run = object_of(config, "config", name)
    labels = object_of(run, "Labels", name)
    diff_ids: list[str] = []
    history: list[Any] = []
    env: dict[str, str] = {}
    for each, name in below:
        own = texts_of(object_of(each, "rootfs", name), "diff_ids", name)
        if not own:
            raise InvalidContent(f"the configuration of {name} lists no layers")
        diff_ids += own
        history += list_of(each, "history", name)
        env |= dict(entry.partition("=")[::2] for entry in texts_of(object_of(each, "config", name), "Env", name))
    env |= settings.env
    return config | {
        "created": EPOCH,
        "config": run
        | {"Env": [f"{key}={value}" for key, value in env.items()]}
        | _unless_empty({**labels, **settings.labels}, "Labels"),
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, *(layer.diff_id for layer in layers)]},
        "history": [*history, *({"created": EPOCH, "created_by": settings.created_by} for _ in layers)],
    }


def _manifest(config: bytes, layers: Sequence[Descriptor], annotations: Mapping[str, str]) -> dict[str, Any]:
    content = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": Descriptor(IMAGE_CONFIG, digest_of(config), len(config)).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return content | _unless_empty(annotations)


def _unless_empty(values: Mapping[str, str], key: str = "annotations") -> dict[str, Any]:
    return {key: dict(values)} if values else {}
