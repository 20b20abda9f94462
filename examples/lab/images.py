"""Images of one layer with one static program, as archives for ``ctr images import``."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import tarfile
from pathlib import Path


def write_image(archive: Path, *, name: str, program: Path) -> None:
    """Writes an image ``name`` whose entry point is ``program``, at /<its name>."""
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = {"config.json": config, "layer.tar": layer, "manifest.json": manifest}
    archive.write_bytes(_tar({file: (data, 0o644) for file, data in files.items()}))


def push(registry: str, repository: str, *, archive: Path) -> str:
    """Pushes an archive of ``write_image`` to a registry that speaks plain HTTP, and returns the manifest's digest."""
    with tarfile.open(archive) as opened:
        config, layer = (_read(opened, name) for name in ("config.json", "layer.tar"))
    for blob in (config, layer):
        start = _call(registry, "POST", f"/v2/{repository}/blobs/uploads/")
        separator = "&" if "?" in start else "?"
        _call(registry, "PUT", f"{start}{separator}digest={_digest(blob)}", blob)
    vendor = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{vendor}.manifest.v1+json",
        "config": {"mediaType": f"{vendor}.config.v1+json", "digest": _digest(config), "size": len(config)},
        "layers": [{"mediaType": f"{vendor}.layer.v1.tar", "digest": _digest(layer), "size": len(layer)}],
    }
    body = json.dumps(manifest).encode()
    _call(registry, "PUT", f"/v2/{repository}/manifests/{_digest(body)}", body, f"{vendor}.manifest.v1+json")
    return _digest(body)


def _call(
    registry: str, method: str, path: str, body: bytes | None = None, content: str = "application/octet-stream"
) -> str:
    """Returns the Location of the answer. Raises ConnectionError unless the registry accepted."""
    connection = http.client.HTTPConnection(registry, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": content})
        answer = connection.getresponse()
        if answer.status not in (201, 202):
            raise ConnectionError(f"{method} {path}: {answer.status} {answer.read()!r}")
        return answer.headers.get("Location", "")
    finally:
        connection.close()


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
