"""The previous release, packed in the tree: its chart, its definitions and its programs.

A test installs it, upgrades to this checkout and shows that nothing stops serving. Its parts are in
``tests/e2e/previous/release.tar.xz``, so that the test needs neither the network nor the history. Its images are this
checkout's with one more layer, the programs of that release, which are found before the present ones: system and
libraries below them are today's.

When a release is made, pack it for the next one: ``python -m tests.support.previous_release v0.1.0``.
"""

import argparse
import io
import lzma
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

from charts.images.bytecode import compile_beside
from edge_oci import LayeredSettings, Registries, parse_reference, push_layered, tree, write_layer
from examples.lab.site import ROOT, Site, chart_values

PACKED: Final = ROOT / "tests" / "e2e" / "previous" / "release.tar.xz"
PARTS: Final = ("operator", "inference_server", "charts/edgemodel", "crds")
IMAGES: Final = ("operator", "server", "compressor")
"""The images that run a program of ours; the test needs no trainer."""
_DIRECTORY: Final = "/previous"


def pack(revision: str) -> None:
    """Writes the parts of a git revision to PACKED: the same bytes for the same revision."""
    command = ["git", "archive", "--format=tar", revision, "--", *PARTS]
    packed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    PACKED.parent.mkdir(exist_ok=True)
    PACKED.write_bytes(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))


def unpack(folder: Path) -> None:
    """Writes the parts of the previous release to ``folder``, under their names in the tree."""
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(PACKED.read_bytes()))) as packed:
        packed.extractall(folder, filter="data")


def packages(folder: Path) -> list[Path]:
    """Returns the folders of the Python packages of an unpacked release."""
    return [*sorted(path.parent for path in folder.glob("operator/*/__init__.py")), folder / "inference_server"]


def push_images(site: Site, images: dict[str, str], folder: Path, scratch: Path) -> dict[str, str]:
    """Pushes the images of an unpacked release and returns all that its chart installs.

    ``images`` are those of this checkout, as ``build_images`` returns them, with registry and Prometheus.
    """
    root = scratch / "code"
    for package in packages(folder):
        (root / package.name).parent.mkdir(parents=True, exist_ok=True)
        package.rename(root / package.name)
    compile_beside(root, _DIRECTORY)
    layer = write_layer(tree(root, _DIRECTORY), scratch / "layer", compression="gzip")
    host = site.push_to.split("/")[0]
    registries = Registries(plain_http_hosts=(host,) if site.plain_http else ())
    settings = LayeredSettings(env={"PYTHONPATH": _DIRECTORY}, created_by="previous release")
    found = {name: reference for name, reference in images.items() if name not in {*IMAGES, "trainer"}}
    for name in IMAGES:
        digest = images[name].rpartition("@")[2]
        base = parse_reference(f"{site.push_to}/{name}@{digest}")
        target = registries.repository(parse_reference(f"{site.push_to}/previous/{name}"))
        pushed = push_layered(
            registries.repository(base), digest, target, layer, settings=settings, tag=digest.partition(":")[2][:12]
        )
        found[name] = f"{site.pull_from}/previous/{name}@{pushed.index.digest}"
    return found


def values(site: Site, images: dict[str, str]) -> dict[str, Any]:
    """Returns the values of the previous chart that install ``images``, under the names that values had then."""
    found = chart_values(site, images)
    operator = found["operator"]
    operator["allowedProgramImages"] = operator.pop("allowedConverterImages")
    del found["server"]["layers"]  # that release had none
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="the git revision of the release")
    pack(parser.parse_args().revision)
    print(f"{PACKED.relative_to(ROOT)}: {PACKED.stat().st_size} bytes")
