"""The files beside a model that describe its compression."""

from pathlib import Path

from edge_compressor.reports import html, markdown
from edgemodel.artifact import ArtifactManifest
from edgemodel.names import MANIFEST_FILE, PAGE_FILE, REPORT_FILE


def write_reports(folder: Path, manifest: ArtifactManifest) -> None:
    """Writes the manifest and both reports into ``folder``, beside the model and the golden set."""
    (folder / MANIFEST_FILE).write_bytes(manifest.encode())
    (folder / REPORT_FILE).write_text(markdown.render(manifest))
    (folder / PAGE_FILE).write_text(html.render(manifest))
