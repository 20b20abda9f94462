"""Images: made of layers, or of a base image and one more layer; for one platform or several."""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .blobs import copy_blob, push_blob, read_blob
from .client import Repository
from .descriptors import (
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    LAYER_GZIP,
    LAYER_TAR,
    Descriptor,
    canonical_json,
    digest_of,
    parse_json,
)
from .errors import InvalidContent
from .layers import Layer
from .manifests import Manifest, get_manifest, put_manifest

MAX_CONFIG_BYTES = 4 << 20
EPOCH = "1970-01-01T00:00:00Z"
"""``created`` of every image: the same content has the same digest."""

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"

_TO_OCI = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TAR,
}
# The rest of a Docker configuration ("container", "docker_version" …) tells of the machine that made it.
_CONFIG_KEPT = ("architecture", "os", "variant", "os.version", "os.features", "author", "config", "rootfs", "history")


@dataclass(frozen=True)
class Platform:
    """``linux/amd64``, ``linux/arm64``, ``linux/arm/v7``."""

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
        """Of an index entry, or of an image configuration."""
        return cls(str(value.get("os", "")), str(value.get("architecture", "")), value.get("variant") or None)

    def to_json(self) -> dict[str, str]:
        variant = {"variant": self.variant} if self.variant else {}
        return {"os": self.os, "architecture": self.architecture} | variant

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class PushedImage:
    """An index in a registry, and the image of each platform."""

    repository: Repository
    index: Descriptor
    platforms: Mapping[Platform, Descriptor]

    @property
    def reference(self) -> str:
        """``host/repository@sha256:…`` of the index."""
        return str(self.repository.reference(digest=self.index.digest))


@dataclass(frozen=True)
class LayeredSettings:
    """What a new image says besides what its base says; entries of the same name replace the base's."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    created_by: str = "edge_oci"


@dataclass(frozen=True)
class _Base:
    platform: Platform
    manifest: Manifest


def push_layered(
    base: Repository,
    base_version: str,
    target: Repository,
    layer: Layer | Mapping[Platform, Layer],
    *,
    settings: LayeredSettings | None = None,
    tag: str | None = None,
    platforms: Collection[Platform] | None = None,
) -> PushedImage:
    """The image ``base`` and one more layer, for each of its platforms, as an index in ``target``.

    ``base_version`` is a tag or digest of an index or of a single image. ``layer`` is the same for every
    platform, or one for each that is made; ``platforms`` None: all that the base has (or ``layer`` names).
    Layers of the base are mounted within a registry, or copied once. Docker's media types become OCI's;
    the layers' digests stay. Raises InvalidContent when the base lacks a platform that is asked for, and
    as the functions of blobs and manifests.
    """
    wanted = platforms if platforms is not None else (None if isinstance(layer, Layer) else list(layer))
    chosen = _choose(base, base_version, wanted)
    how = settings or LayeredSettings()
    made: dict[Platform, Descriptor] = {}
    with tempfile.TemporaryDirectory(prefix="edge-oci-") as scratch:
        for item in chosen:
            own = layer if isinstance(layer, Layer) else layer[item.platform]
            made[item.platform] = _push_on_top(base, item, target, own, how, Path(scratch))
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
    """An index over images that are in ``repository`` already."""
    return put_manifest(repository, compose_index(images, annotations=annotations), tag=tag)


def compose_image(
    config: Mapping[str, Any], layers: Sequence[Layer], *, annotations: Mapping[str, str] | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The configuration, as bytes, and the manifest of an image of ``layers``, lowest first.

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
    """An index, sorted by platform."""
    entries = [images[platform].to_json() | {"platform": platform.to_json()} for platform in sorted(images, key=str)]
    content = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": entries}
    return content | _unless_empty(annotations or {})


def platforms_of(repository: Repository, version: str) -> dict[Platform, Descriptor]:
    """The image of each platform of an index (attestations left out), or the one image that ``version`` is."""
    return {item.platform: item.manifest.descriptor for item in _choose(repository, version, None)}


def _choose(repository: Repository, version: str, wanted: Collection[Platform] | None) -> list[_Base]:
    top = get_manifest(repository, version)
    if not top.is_index:
        there = {Platform.from_json(_config(repository, top)): top.descriptor.digest}
    else:
        there = {
            platform: str(entry["digest"])
            for entry in top.content.get("manifests") or []
            if (platform := Platform.from_json(entry.get("platform") or {})).os not in {"", "unknown"}
        }
    missing = [str(platform) for platform in wanted or [] if platform not in there]
    if missing or not there:
        has = ", ".join(map(str, there)) or "no platform"
        raise InvalidContent(f"{repository} {version} has {has}, and not {', '.join(missing) or 'one to build on'}")
    return [
        _Base(platform, get_manifest(repository, digest) if top.is_index else top)
        for platform, digest in there.items()
        if wanted is None or platform in wanted
    ]


def _config(repository: Repository, manifest: Manifest) -> dict[str, Any]:
    config = Descriptor.from_json(manifest.content.get("config"))
    data = read_blob(repository, config, max_bytes=MAX_CONFIG_BYTES)
    return parse_json(data, f"the configuration of {repository}@{manifest.descriptor.digest}")


def _push_on_top(
    source: Repository, base: _Base, target: Repository, layer: Layer, settings: LayeredSettings, scratch: Path
) -> Descriptor:
    below = [Descriptor.from_json(entry) for entry in base.manifest.content.get("layers") or []]
    for blob in below:
        copy_blob(source, target, blob, scratch)
    push_blob(target, layer.path, digest=layer.digest)
    config = _extend(_config(source, base.manifest), layer, settings, f"{source}@{base.manifest.descriptor.digest}")
    rewritten = [Descriptor(_TO_OCI.get(blob.media_type, blob.media_type), blob.digest, blob.size) for blob in below]
    origin = {BASE_NAME: str(source), BASE_DIGEST: base.manifest.descriptor.digest}
    pushed = canonical_json(config)
    push_blob(target, pushed, media_type=IMAGE_CONFIG)
    return put_manifest(target, _manifest(pushed, [*rewritten, layer.descriptor], {**settings.annotations, **origin}))


def _extend(base: dict[str, Any], layer: Layer, settings: LayeredSettings, name: str) -> dict[str, Any]:
    """The base's configuration with one more layer. Raises InvalidContent when it has no list of layers."""
    config = {key: base[key] for key in _CONFIG_KEPT if key in base}
    diff_ids = (config.get("rootfs") or {}).get("diff_ids")
    if not isinstance(diff_ids, list):
        raise InvalidContent(f"the configuration of {name} lists no layers")
    run = dict(config.get("config") or {})
    env = dict(entry.partition("=")[::2] for entry in run.get("Env") or []) | dict(settings.env)
    return config | {
        "created": EPOCH,
        "config": run
        | {"Env": [f"{key}={value}" for key, value in env.items()]}
        | _unless_empty({**(run.get("Labels") or {}), **settings.labels}, "Labels"),
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, layer.diff_id]},
        "history": [*(config.get("history") or []), {"created": EPOCH, "created_by": settings.created_by}],
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
