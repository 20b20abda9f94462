#!/usr/bin/env python3
"""Writes into the URIs of an example's manifests the digests that its files get when they are pushed.

examples/write_digests.py examples/fashion-mnist/edgemodel.yaml

Equal files get an equal digest in every registry, so it is known before the push and can be part of the tree.
``oci://…/NAME@sha256:…`` is the file NAME.onnx or NAME.npz beside the manifest, or what was fetched for it. A
digest of zeros stays: it is that of a file that differs from machine to machine, or is a folder.
"""

import argparse
import re
from pathlib import Path

from edge_cli.push import ARTIFACT_TYPES
from edge_oci.descriptors import EMPTY_CONFIG, IMAGE_MANIFEST, OCTETS, TITLE, Descriptor
from edgemodel.digest import canonical_json, digest_of, digest_of_file

FETCHED = Path(__file__).resolve().parents[1] / "build" / "examples"
_PINNED = re.compile(r"(oci://\S+/)([a-z0-9-]+)@sha256:(?!0{64})[0-9a-f]{64}")


def pushed_digest(title: str, digest: str, size_bytes: int) -> str:
    """Returns the digest of the manifest that ``edgemodel push`` makes for the file named ``title``."""
    blob = Descriptor(OCTETS, digest, size_bytes, {TITLE: title})
    content = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": ARTIFACT_TYPES[Path(title).suffix],
        "config": Descriptor(EMPTY_CONFIG, digest_of(b"{}"), len(b"{}")).to_json(),
        "layers": [blob.to_json()],
    }
    return digest_of(canonical_json(content))


def with_digests(text: str, folders: list[Path]) -> str:
    """Returns ``text`` with the digest of every URI. Raises FileNotFoundError if no folder has the file of one."""

    def pinned(found: re.Match[str]) -> str:
        file = _file(found[2], folders)
        digest = pushed_digest(file.name, digest_of_file(file), file.stat().st_size)
        return f"{found[1]}{found[2]}@{digest}"

    return _PINNED.sub(pinned, text)


def _file(name: str, folders: list[Path]) -> Path:
    candidates = [folder / f"{name}{suffix}" for folder in folders for suffix in ARTIFACT_TYPES]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"none of {', '.join(map(str, candidates))}")


def main() -> None:
    """Writes the digests of local files into the manifests that name them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+", help="EdgeModels in YAML")
    for manifest in parser.parse_args().manifests:
        folder = manifest.resolve().parent
        text = manifest.read_text()
        manifest.write_text(with_digests(text, [folder, FETCHED / folder.name]))


if __name__ == "__main__":
    main()
