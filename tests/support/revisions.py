"""Specs of EdgeModelRevisions as an operator writes them, for tests of their readers."""

from typing import Any

from edgemodel.revision import RevisionServing, RevisionSource, RevisionSpec, RevisionVariant
from tests.support.simulation import DIGEST, SETTINGS, artifact_report


def revision_spec(images: dict[str, str] | None = None, *, port: int = 8080) -> dict[str, Any]:
    """Returns the spec of a revision of the EdgeModel ``m``. ``images`` has ``REPOSITORY@DIGEST`` by variant."""
    variants = tuple(
        RevisionVariant(name, (), {}, {}, artifact_report(name, image)) for name, image in (images or {}).items()
    )
    return RevisionSpec(
        model="m",
        spec_hash="h",
        fingerprint="f",
        retry_token="",
        source=RevisionSource("https://files.example/m.onnx", DIGEST, "ONNX"),
        datasets={},
        variants=variants,
        server_image=SETTINGS.server_image,
        serving=RevisionServing(port, "Surge"),
    ).to_json()
