"""What a compression Job says at its end, in the termination message of its container.

The kubelet keeps the *last* 4,096 bytes of a longer message, so JSON would lose its head: ``encode``
shortens the long texts instead, and never the facts.
"""

import json
from dataclasses import dataclass
from typing import Any

from edgemodel.artifact import ONNX_RUNTIME

MAX_BYTES = 4096


@dataclass(frozen=True)
class ArtifactReport:
    """One published artifact. Numbers that were not measured are None (no evaluation set: no accuracy)."""

    variant: str
    image: str
    """Repository path and digest without a host: ``<namespace>/<model>@sha256:…`` (the index over architectures)."""
    digest: str
    """Of the model file in the artifact."""
    size_bytes: int
    transfer_bytes: int
    """Compressed bytes of the model layer: what a node downloads that has the server already."""
    source_size_bytes: int
    accuracy: str | None
    """Decimal strings in 0..1, e.g. ``0.9132``."""
    source_accuracy: str | None
    sample_count: int
    latency_milliseconds: str | None
    """Median of single-sample runs on the Job's machine, one thread; decimal string."""
    source_latency_milliseconds: str | None
    checks: tuple[dict[str, Any], ...] = ()
    """``CheckResult.to_json`` of each budget."""
    runtime: str = ONNX_RUNTIME
    """The name of the back end that loads the model file on nodes."""

    def to_json(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "image": self.image,
            "digest": self.digest,
            "sizeBytes": self.size_bytes,
            "transferBytes": self.transfer_bytes,
            "sourceSizeBytes": self.source_size_bytes,
            "accuracy": self.accuracy,
            "sourceAccuracy": self.source_accuracy,
            "sampleCount": self.sample_count,
            "latencyMilliseconds": self.latency_milliseconds,
            "sourceLatencyMilliseconds": self.source_latency_milliseconds,
            "checks": list(self.checks),
            "runtime": self.runtime,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ArtifactReport":
        return cls(
            variant=value["variant"],
            image=value["image"],
            digest=value["digest"],
            size_bytes=value["sizeBytes"],
            transfer_bytes=value["transferBytes"],
            source_size_bytes=value["sourceSizeBytes"],
            accuracy=value.get("accuracy"),
            source_accuracy=value.get("sourceAccuracy"),
            sample_count=value.get("sampleCount", 0),
            latency_milliseconds=value.get("latencyMilliseconds"),
            source_latency_milliseconds=value.get("sourceLatencyMilliseconds"),
            checks=tuple(value.get("checks", ())),
            runtime=value.get("runtime", ONNX_RUNTIME),
        )


@dataclass(frozen=True)
class Published:
    """The gate passed and the artifacts are in the registry. Exit code 0."""

    source_digest: str
    """Of the OCI manifest for ``oci://``, else of the file."""
    artifacts: tuple[ArtifactReport, ...]
    converter_digest: str | None = None
    """Of the file that a user's converter made of the source; None where there was none."""


@dataclass(frozen=True)
class Failed:
    """``reason`` is a word of ``edgemodel.reasons``; ``transient``: another try may succeed (exit code 4, else 3)."""

    reason: str
    message: str
    transient: bool
    checks: tuple[dict[str, Any], ...] = ()


Report = Published | Failed


def encode(report: Report) -> bytes:
    """At most MAX_BYTES of JSON. Texts are shortened (to 1,000, 300, then 80 characters) until it fits.

    Raises ValueError when it does not fit even so.
    """
    for longest in (1000, 300, 80):
        data = json.dumps(_to_json(report, longest), separators=(",", ":"), ensure_ascii=True).encode()
        if len(data) <= MAX_BYTES:
            return data
    raise ValueError(f"report of {len(data)} bytes does not fit {MAX_BYTES}")


def decode(data: str | bytes) -> Report | None:
    """The report in a termination message, or None when it is not one (a crash leaves a traceback or nothing)."""
    try:
        value = json.loads(data)
        if value["outcome"] == "Published":
            artifacts = tuple(ArtifactReport.from_json(item) for item in value["artifacts"])
            return Published(value["sourceDigest"], artifacts, value.get("converterDigest"))
        return Failed(
            reason=value["reason"],
            message=value["message"],
            transient=value["transient"],
            checks=tuple(value.get("checks", ())),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _to_json(report: Report, longest: int) -> dict[str, Any]:
    if isinstance(report, Published):
        artifacts = [artifact.to_json() for artifact in report.artifacts]
        for artifact in artifacts:
            artifact["checks"] = _shortened(artifact["checks"], longest)
        converter = {"converterDigest": report.converter_digest} if report.converter_digest else {}
        return {"outcome": "Published", "sourceDigest": report.source_digest, **converter, "artifacts": artifacts}
    return {
        "outcome": "Failed",
        "reason": report.reason,
        "message": shorten(report.message, longest),
        "transient": report.transient,
        "checks": _shortened(list(report.checks), longest),
    }


def _shortened(checks: list[dict[str, Any]], longest: int) -> list[dict[str, Any]]:
    return [{**check, "message": shorten(check["message"], longest)} for check in checks]


def shorten(text: str, longest: int) -> str:
    """``text`` with its middle left out when it has more than ``longest`` characters."""
    if len(text) <= longest:
        return text
    head = (longest - 3) * 2 // 3
    return f"{text[:head]}...{text[len(text) - (longest - 3 - head) :]}"
