"""Builds the layers and configurations of the catalogue, and pushes images and named layers."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_oci import layers as layer_format
from edge_oci.client import Repository
from edge_oci.images import Platform, PushedImage, push_image, push_index
from edge_oci.layers import Layer

from . import app_layer, bytecode, debian, pruning, torch_cpu, wheels
from .cache import cached_layer
from .catalogue import Image, NamedLayer, Wheels
from .debian import Debian
from .folder_cache import key_of
from .progress import timed

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / ".ci/locks"

_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
_PYTHON_ENVIRONMENT = {
    "PYTHONPATH": app_layer.DIRECTORY,
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class BuiltImage:
    """An image, or a named layer, with the layers of each of its platforms, lowest first."""

    image: Image | NamedLayer
    layers: Mapping[Platform, Sequence[Layer]]

    def gzip_bytes(self, platform: Platform) -> int:
        """Returns the size of its layers in the registry, in bytes."""
        return sum(layer.size for layer in self.layers[platform])


def build(image: Image | NamedLayer, platforms: Sequence[str], *, fresh: bool = False) -> BuiltImage:
    """Builds each layer of ``image``, or takes it from the cache, for those of ``platforms`` that it supports.

    The layers of a NamedLayer are its own, without those of its base. ``fresh`` unpacks Debian again, and so includes
    its security updates. Raises BuildError.
    """
    wanted = [platform for platform in platforms if platform in image.platforms]
    return BuiltImage(
        image, {Platform.parse(text): _layers(image, Platform.parse(text).architecture, fresh) for text in wanted}
    )


def push(built: BuiltImage, repository: Repository, *, tag: str) -> PushedImage:
    """Pushes every platform and an index of them, under ``tag``. Raises edge_oci.OciError."""
    image = built.image
    made = {
        platform: push_image(repository, config(image, platform), layers, annotations=labels(image))
        for platform, layers in built.layers.items()
    }
    return PushedImage(repository, push_index(repository, made, annotations=labels(image), tag=tag), made)


def config(image: Image | NamedLayer, platform: Platform) -> dict[str, Any]:
    """Returns the OCI image configuration, without layers; it does not depend on when or where it was built.

    That of a named layer holds only the variables that it adds.
    """
    if isinstance(image, NamedLayer):
        variables = [f"{name}={value}" for name, value in image.environment.items()]
        return {**platform.to_json(), "config": {"Env": variables, "Labels": labels(image)}}
    environment = _ENVIRONMENT | (_PYTHON_ENVIRONMENT if image.code else {}) | dict(image.environment)
    return {
        **platform.to_json(),
        "config": {
            "User": f"{debian.USER}:{debian.USER}",
            "WorkingDir": "/",
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Entrypoint": list(image.entrypoint),
            **({"Cmd": list(image.command)} if image.command else {}),
            "Labels": labels(image),
        },
    }


def version() -> str:
    """Returns the version of the project, which is the default tag."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def labels(image: Image | NamedLayer) -> dict[str, str]:
    """Returns the labels of the Open Container Initiative for an image."""
    prefix = "org.opencontainers.image"
    return {
        f"{prefix}.title": f"edgemodel-{image.name}",
        f"{prefix}.description": image.description,
        f"{prefix}.version": version(),
        **({f"{prefix}.licenses": "Apache-2.0"} if image.code else {}),
    }


def _layers(image: Image | NamedLayer, architecture: str, fresh: bool) -> list[Layer]:
    made = [_debian_layer(image.base, architecture, fresh)] if isinstance(image, Image) else []
    made += [_wheels_layer(what, architecture) for what in image.wheels]
    if image.code:
        made.append(_code_layer(image))
    return made


_REFRESHED: set[str] = set()


def _debian_layer(base: Debian, architecture: str, fresh: bool) -> Layer:
    key = key_of(["debian", repr(base), architecture, *_makers(debian)])
    anew = fresh and key not in _REFRESHED  # several images share a base: once per run is enough
    _REFRESHED.add(key)
    with timed(f"{architecture}: Debian layer of {base.packages[-1]}"):
        return cached_layer(
            key, lambda path, scratch: debian.write_debian_layer(base, architecture, path, scratch), fresh=anew
        )


def _wheels_layer(what: Wheels, architecture: str) -> Layer:
    requirements = wheels.requirements(what, LOCKS)
    makers = [*_makers(wheels), *([Path(torch_cpu.__file__)] if what.torch_for_cpu else [])]
    key = key_of(["wheels", repr(what), requirements, architecture, str(wheels.stripper(architecture)), *makers])
    with timed(f"{architecture}: Python packages of {what.lock}"):
        return cached_layer(
            key, lambda path, scratch: wheels.write_wheels_layer(what, requirements, architecture, path, scratch)
        )


def _code_layer(image: Image | NamedLayer) -> Layer:
    files = app_layer.sources(ROOT, image.code)
    named = [item for name, path in files.items() for item in (name, path)]
    key = key_of(["code", *named, *_makers(app_layer)])
    return cached_layer(key, lambda path, scratch: app_layer.write_code_layer(files, path, scratch))


def _makers(module: Any) -> list[Path]:
    """Returns the source files of what builds a layer: a change of them rebuilds it."""
    return [Path(str(each.__file__)) for each in (module, bytecode, pruning, layer_format)]
