"""The images of users' converters: a script on top of the trainer's image, like that of the example's Containerfile."""

import json
from pathlib import Path

from edge_oci import Registries, get_manifest, parse_reference, put_manifest
from edge_oci.blobs import push_blob, read_blob
from edge_oci.client import Repository
from edge_oci.descriptors import IMAGE_CONFIG, Descriptor
from edge_oci.images import MAX_CONFIG_BYTES, push_layered
from edge_oci.layers import write_layer
from edgemodel.digest import canonical_json, digest_of
from examples.lab.site import BUILD, Site

CONVERTERS = "converters"
"""The folder of converters in the site's registry, which the chart allows (``site.chart_values``)."""


def push_converter(site: Site, name: str, script: Path, scratch: Path) -> str:
    """Returns the image by its digest, as the cluster names it. It is below CONVERTERS if ``name`` begins so."""
    trainer = json.loads((BUILD / "images.json").read_text())["trainer"].partition("@")[2]
    base, target = (_repository(site, one) for one in ("trainer", name))
    digest = push_script(base, trainer, target, script, scratch)
    return f"{site.pull_from}/{name}@{digest}"


def push_script(base: Repository, version: str, target: Repository, script: Path, scratch: Path) -> str:
    """Returns the digest of an image of one platform, that of ``base``, whose entrypoint is ``script``."""
    layer = write_layer({"/converter.py": script}, scratch / "converter-layer")
    (platform,) = push_layered(base, version, target, layer).platforms.values()
    manifest = get_manifest(target, platform.digest).content
    config = json.loads(read_blob(target, Descriptor.from_json(manifest["config"]), max_bytes=MAX_CONFIG_BYTES))
    config["config"] = {**config["config"], "Entrypoint": ["/usr/bin/python3", "/converter.py"]}
    made = canonical_json(config)
    push_blob(target, made, media_type=IMAGE_CONFIG)
    named = Descriptor(IMAGE_CONFIG, digest_of(made), len(made)).to_json()
    return put_manifest(target, {**manifest, "config": named}).digest


def _repository(site: Site, name: str) -> Repository:
    host = site.push_to.split("/")[0]
    registries = Registries(plain_http_hosts=(host,) if site.plain_http else ())
    return registries.repository(parse_reference(f"{site.push_to}/{name}"))
