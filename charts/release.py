"""Prepares a release, step by step: ``python charts/release.py --help``. docs/releasing.md has the steps.

It needs the standard library alone, and helm for ``package``. Nothing is published by it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHART = Path("charts/edgemodel")
CHANGELOG = Path("CHANGELOG.md")
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
PLACES = {
    Path("operator/edgemodel/version.py"): re.compile(r'^(VERSION: Final = ")([^"]+)(")$', re.MULTILINE),
    Path("pyproject.toml"): re.compile(r'^(version = ")([^"]+)(")$', re.MULTILINE),
    CHART / "Chart.yaml": re.compile(r"^((?:appV|v)ersion: )(\S+)()$", re.MULTILINE),
}
"""The files with the version, and where it stands in them."""
UNRELEASED = "## [Unreleased]\n"
LAYERS = "layers/"
"""The prefix of the named layers in what charts/images/build.py writes."""
IMAGE = re.compile(r"^(\w+):\n(?:(?:  .*|)\n)*?  image:\n((?:    .*\n)+)", re.MULTILINE)


class ReleaseError(Exception):
    """A person must correct something, which the message names."""


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs one verb on the tree at ``root`` and returns the exit code: 1 if something has to be corrected first."""
    parser = argparse.ArgumentParser(prog="python charts/release.py", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    version = verbs.add_parser("version", help="write the version into package, programs and chart")
    version.add_argument("version", metavar="X.Y.Z")
    version.set_defaults(run=lambda options: write_version(root, options.version))
    changelog = verbs.add_parser("changelog", help="give the unreleased changes the version and a date")
    changelog.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    changelog.set_defaults(run=lambda options: close_changelog(root, options.date))
    package = verbs.add_parser("package", help="package the chart with its images named by digest")
    package.add_argument("--digests", type=Path, required=True, help="what charts/images/build.py --digests wrote")
    package.add_argument("--output", type=Path, required=True, metavar="DIR")
    package.set_defaults(run=lambda options: print(package_chart(root, options.digests, options.output)))
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ReleaseError as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 1
    return 0


def version_of(root: Path) -> str:
    """Returns the version of the tree. Raises ReleaseError if its files do not agree."""
    found = {match[2] for path, place in PLACES.items() for match in place.finditer((root / path).read_text())}
    if len(found) != 1:
        raise ReleaseError(
            f"the files have several versions: {', '.join(sorted(found))}; see {', '.join(map(str, PLACES))}"
        )
    return found.pop()


def write_version(root: Path, version: str) -> None:
    """Writes ``version`` into every file that has one. Raises ReleaseError if it is none, or not newer."""
    old, new = VERSION.fullmatch(version_of(root)), VERSION.fullmatch(version)
    if new is None:
        raise ReleaseError(f"{version} is no version such as 1.2.3")
    if old is not None and tuple(map(int, new.groups())) <= tuple(map(int, old.groups())):
        raise ReleaseError(f"{version} is not newer than {old[0]}, the version of the tree")
    for path, place in PLACES.items():
        text = (root / path).read_text()
        (root / path).write_text(place.sub(lambda match: f"{match[1]}{version}{match[3]}", text))


def close_changelog(root: Path, date: str) -> None:
    """Moves the unreleased changes below a heading with version and date. Raises ReleaseError if there are none."""
    version, text = version_of(root), (root / CHANGELOG).read_text()
    before, heading, after = text.partition(UNRELEASED)
    changes = after.partition("\n## ")[0]
    if not heading or not re.search(r"^- ", changes, re.MULTILINE):
        raise ReleaseError(f"{CHANGELOG} has no changes below {UNRELEASED.strip()}")
    if f"\n## [{version}]" in text:
        raise ReleaseError(f"{CHANGELOG} has version {version} already: begin the next one with `version X.Y.Z`")
    (root / CHANGELOG).write_text(f"{before}{heading}\n## [{version}] - {date}\n{after}")


def package_chart(root: Path, digests: Path, output: Path) -> Path:
    """Returns the packaged chart in ``output``, whose values name the images of ``digests``. Raises ReleaseError."""
    version, images = version_of(root), json.loads(digests.read_text())
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(shutil.copytree(root / CHART, Path(folder) / CHART.name))
        values = chart / "values.yaml"
        values.write_text(with_images(values.read_text(), images))
        command = ["helm", "package", str(chart), "--destination", str(output)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise ReleaseError("helm is missing: make lab-up brings it, or install it and put it on PATH") from None
        if done.returncode != 0:
            raise ReleaseError(f"helm package: {done.stderr.strip()}")
    return output / f"{CHART.name}-{version}.tgz"


def with_images(values: str, images: dict[str, str]) -> str:
    """Returns values.yaml with repository and digest of each program's image, and with the named layers.

    Raises ReleaseError if the image of a program lacks.
    """
    programs = ("operator", "server", "compressor", "trainer")
    lacking = [name for name in programs if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", images.get(name, ""))]
    if lacking:
        raise ReleaseError(f"no digest of the image {', '.join(lacking)}: build with charts/images/build.py --digests")

    def named(match: re.Match[str]) -> str:
        if match[1] not in programs:
            return match[0]
        repository, _, digest = images[match[1]].partition("@")
        image = re.sub(r"^(    repository: ).*$", rf"\g<1>{repository}", match[2], flags=re.MULTILINE)
        image = re.sub(r'^(    digest: )""$', rf'\g<1>"{digest}"', image, flags=re.MULTILINE)
        return match[0].removesuffix(match[2]) + image

    layers = {name.removeprefix(LAYERS): reference for name, reference in images.items() if name.startswith(LAYERS)}
    made = re.sub(r"^  layers: \{\}", f"  layers: {json.dumps(layers)}", IMAGE.sub(named, values), flags=re.MULTILINE)
    missing = [name for name in programs if images[name].partition("@")[2] not in made]
    if missing:
        raise ReleaseError(f"values.yaml has no empty digest of {', '.join(missing)}")
    return made


if __name__ == "__main__":
    sys.exit(main())
