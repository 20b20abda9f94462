"""Builds every image and named layer without a Dockerfile or daemon, and with the same bytes each time. See ``build.py
--help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT), str(_ROOT / "operator")]

from charts.images import archive, building, cache, check  # noqa: E402 - the path is set above
from charts.images.building import BuiltImage  # noqa: E402
from charts.images.catalogue import BOTH, IMAGES, NAMED_LAYERS, Image, NamedLayer  # noqa: E402
from charts.images.progress import BuildError, print_progress, timed  # noqa: E402
from edge_oci.client import Registries  # noqa: E402
from edge_oci.credentials import Credentials, DockerConfig  # noqa: E402
from edge_oci.errors import OciError  # noqa: E402
from edge_oci.images import Platform  # noqa: E402
from edge_oci.references import parse_reference  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds what the options name and returns the exit code: 1 if something could not be built or pushed, 130 after
    Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (BuildError, OciError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python charts/images/build.py", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=list(_everything()),
        metavar="IMAGE",
        default=[],
        help=f"this image or named layer, and no other; may be repeated: {', '.join(_everything())} (default: all)",
    )
    parser.add_argument("--release", action="store_true", help="leave out the images that are for the lab only")
    parser.add_argument(
        "--platform",
        default=",".join(BOTH),
        help="by comma (default: %(default)s); an image that is not made for one of them is made for the others",
    )
    parser.add_argument(
        "--push",
        metavar="HOST/PREFIX",
        help="push as HOST/PREFIX/<image>:<tag>, and named layers as HOST/PREFIX/layers/<name>:<tag>",
    )
    parser.add_argument("--tag", default=building.version(), help="besides the digest (default: %(default)s)")
    parser.add_argument("--plain-http", action="store_true", help="HOST speaks no TLS")
    parser.add_argument("--ca-file", type=Path, help="PEM file of a private certificate authority of HOST")
    parser.add_argument("--docker-config", type=Path, help="config.json with the credentials for HOST")
    parser.add_argument(
        "--name-as",
        metavar="HOST/PREFIX",
        help="how clusters name the place that --push names, for --digests and the table",
    )
    parser.add_argument(
        "--digests", type=Path, metavar="FILE", help='write {"server": "HOST/PREFIX/server@sha256:…", …}'
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write each image as DIR/<image>.tar, an OCI archive"
    )
    parser.add_argument("--check", action="store_true", help="run what each image's program needs, in the image (root)")
    parser.add_argument("--fresh", action="store_true", help="unpack Debian anew, with its latest security updates")
    return parser  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    if options.digests and not options.push:
        raise BuildError("--digests needs --push: what is in no registry has no name there")
    everything = _everything()
    names = options.only or [name for name, image in everything.items() if image.released or not options.release]
    platforms = _platforms(options.platform)
    cache.drop_unused()
    wanted = {name: everything[name] for name in names if set(platforms) & set(everything[name].platforms)}
    built = {name: building.build(image, platforms, fresh=options.fresh) for name, image in wanted.items()}
    for name, image in built.items():
        if options.check:
            check.check(image)
        if options.output:
            place = options.name_as or options.push or "localhost/edgemodel"
            tagged = f"{place.rstrip('/')}/{name}:{options.tag}"
            archive.write_archive(image, options.output / f"{name}.tar", name=tagged)
    digests = {name: _push(name, image, options) for name, image in built.items()} if options.push else {}
    if options.digests:
        options.digests.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n")
    print(_table(built, digests))
    return 0


def _everything() -> dict[str, Image | NamedLayer]:
    """Returns the images and named layers by the names of their repositories."""
    return {**IMAGES, **{f"layers/{name}": layer for name, layer in NAMED_LAYERS.items()}}


def _platforms(text: str) -> list[str]:
    """Returns the platforms named in ``text``. Raises BuildError for one that no image is built for."""
    platforms = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [platform for platform in platforms if platform not in BOTH]
    if unknown or not platforms:
        raise BuildError(
            f"--platform: no image is made for {', '.join(unknown) or 'nothing'}; there are {', '.join(BOTH)}"
        )
    return platforms


def _push(name: str, image: BuiltImage, options: argparse.Namespace) -> str:
    """Pushes an image and returns its reference with the digest, as clusters name it."""
    where = parse_reference(f"{options.push.rstrip('/')}/{name}")
    credentials: Credentials | None = DockerConfig.from_file(options.docker_config) if options.docker_config else None
    registries = Registries(
        credentials=credentials,
        plain_http_hosts=[where.host] if options.plain_http else [],
        ca_file=options.ca_file,
    )
    with timed(f"pushing {where}:{options.tag}"):
        pushed = building.push(image, registries.repository(where), tag=options.tag)
    place = (options.name_as or options.push).rstrip("/")
    return f"{place}/{name}@{pushed.index.digest}"


def _table(built: Mapping[str, BuiltImage], digests: dict[str, str]) -> str:
    rows = [("image", "platform", "gzip MB", "unpacked MB", "digest of the index")]
    for name, image in built.items():
        for platform in image.layers:
            rows.append(_row(name, image, platform, digests.get(name, "not pushed")))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(name: str, image: BuiltImage, platform: Platform, digest: str) -> tuple[str, str, str, str, str]:
    unpacked = sum(layer.unpacked_bytes for layer in image.layers[platform])
    size = f"{image.gzip_bytes(platform) / 1e6:.1f}"
    return name, str(platform), size, f"{unpacked / 1e6:.1f}", digest.rpartition("@")[2]


if __name__ == "__main__":
    code = main()
    print_progress("done" if code == 0 else "failed")
    sys.exit(code)
