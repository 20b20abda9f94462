"""Images of one layer with one static program, as archives that ``ctr images import`` takes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path


def write_image(archive: Path, *, name: str, program: Path) -> None:
    """An image ``name`` whose entry point is ``program``, at /<its name>."""
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = {"config.json": config, "layer.tar": layer, "manifest.json": manifest}
    archive.write_bytes(_tar({file: (data, 0o644) for file, data in files.items()}))


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
