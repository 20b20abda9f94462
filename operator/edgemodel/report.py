"""The report of a compression Job, in the termination message of its container.

The kubelet keeps the *last* 4,096 bytes of a longer message, so JSON would lose its head: ``encode``
shortens the long texts instead, and never the facts.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from edgemodel.artifact import ONNX_RUNTIME
from edgemodel.caller_signature import CallerSignature
from edgemodel.generation import GeneratorFacts
from edgemodel.json_text import parse_json
from edgemodel.plain import from_api, to_api
from edgemodel.verdict import CheckResult

MAX_BYTES = 4096


@dataclass(frozen=True)
class ArtifactReport:
    """One published artifact. Numbers that were not measured are None: without an evaluation set, the accuracy."""

    variant: str
    image: str
    """The repository path and digest of the index over architectures, without a host:
    ``<namespace>/<model>@sha256:…``."""
    digest: str
    """The digest of the model file in the artifact."""
    size_bytes: int
    transfer_bytes: int
    """The compressed size of the model layer in bytes: the download of a node that already has the server."""
    source_size_bytes: int
    accuracy: str | None = None
    """The score of the artifact, a decimal string in 0..1 such as ``0.9132``; None without an evaluation set."""
    source_accuracy: str | None = None
    sample_count: int = 0
    latency_milliseconds: str | None = None
    """The median of single-sample runs on the Job's machine with one thread, a decimal string."""
    source_latency_milliseconds: str | None = None
    checks: tuple[CheckResult, ...] = ()
    """The results, one for each limit of the budget."""
    runtime: str = ONNX_RUNTIME
    """The name of the back end that loads the model file on nodes."""
    server_layers: dict[str, str] = field(default_factory=dict)
    """The images of the named layers between the base of the server and the model, by name and with digest."""
    generator: GeneratorFacts | None = None
    """The facts about a model that generates text; None for any other."""


@dataclass(frozen=True)
class Published:
    """The gate passed and the artifacts are in the registry. The exit code is 0."""

    source_digest: str
    """The digest of the OCI manifest for ``oci://``, otherwise of the file."""
    artifacts: tuple[ArtifactReport, ...]
    converter_digest: str | None = None
    """The digest of the file that a user's converter made of the source; None without a converter."""
    signature: CallerSignature | None = None
    """The signature of the source, which its artifacts share; None in reports of earlier compressors."""


@dataclass(frozen=True)
class Failed:
    """The Job failed. ``reason`` is a word of ``edgemodel.reasons``; the exit code is 4 if ``transient``, as another
    try may succeed, else 3."""

    reason: str
    message: str
    transient: bool
    checks: tuple[CheckResult, ...] = ()
    source_size_bytes: int | None = None
    """The size of a source that the Job's memory and disk are not for; None for every other failure."""


Report = Published | Failed


def encode(report: Report) -> bytes:
    """Returns at most MAX_BYTES of JSON. Texts are shortened (to 1,000, 300, then 80 characters) until it fits.

    Where that is not enough, the signature loses the names of classes, and then all but its hash. Raises ValueError
    if it does not fit even so.
    """
    for one in _with_shorter_signatures(report):
        for longest in (1000, 300, 80):
            data = json.dumps(_to_json(one, longest), separators=(",", ":"), ensure_ascii=True).encode()
            if len(data) <= MAX_BYTES:
                return data
    raise ValueError(f"report of {len(data)} bytes does not fit {MAX_BYTES}")


def decode(data: str | bytes) -> Report | None:
    """Returns the report in a termination message; None if it holds none (a crash leaves a traceback or nothing)."""
    try:
        value = parse_json(data)
        if value["outcome"] == "Published":
            return from_api(Published, value, "report")
        return from_api(Failed, value, "report")
    except (ValueError, KeyError, TypeError):
        return None


def _to_json(report: Report, longest: int) -> dict[str, Any]:
    if isinstance(report, Published):
        artifacts = [replace(one, checks=_shortened(one.checks, longest)) for one in report.artifacts]
        return {"outcome": "Published", **to_api(replace(report, artifacts=tuple(artifacts)))}
    short = replace(report, message=shorten(report.message, longest), checks=_shortened(report.checks, longest))
    return {"outcome": "Failed", **to_api(short)}


def _with_shorter_signatures(report: Report) -> Iterator[Report]:
    yield report
    if isinstance(report, Published) and report.signature is not None:
        yield replace(report, signature=report.signature.without_class_names())
        yield replace(report, signature=report.signature.hash_alone())


def _shortened(checks: tuple[CheckResult, ...], longest: int) -> tuple[CheckResult, ...]:
    return tuple(replace(check, message=shorten(check.message, longest)) for check in checks)


def shorten(text: str, longest: int) -> str:
    """Returns ``text`` without its middle if it has more than ``longest`` characters."""
    if len(text) <= longest:
        return text
    head = (longest - 3) * 2 // 3
    return f"{text[:head]}...{text[len(text) - (longest - 3 - head) :]}"
