"""The process of the Job: one request in, one report out.

It ends with the termination message of its container, which the operator reads, and an exit code with the same meaning:
0 published, 3 a person must act, 4 time may heal. An unexpected error ends with 1 and a message that is not a report,
which the operator counts as a crash and retries a few times.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_compressor import pipeline
from edge_compressor.checkpoints.registry import CheckpointRegistry
from edge_compressor.job.handoff import FromConverter, HandoffFolders, hand_over
from edge_compressor.job.report_progress import report_progress
from edge_compressor.job.termination import leave, option_parser
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.publishing import artifact_image
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.download import Downloader
from edge_compressor.sources.fetcher import Fetcher
from edgemodel import reasons, report
from edgemodel.converter import IN_DIRECTORY, OUT_DIRECTORY
from edgemodel.error_words import in_words
from edgemodel.errors import EdgeModelError, LargeSource, Stalled, Transient
from edgemodel.generation import facts_of
from edgemodel.job_input import (
    CLAIMS_DIRECTORY,
    JOB_INPUT_VARIABLE,
    REGISTRY_TOKEN_FILE,
    SECRETS_DIRECTORY,
    WORK_DIRECTORY,
    JobInput,
)
from edgemodel.progress import PROGRESS_TOKEN_FILE
from edgemodel.report import ArtifactReport, Failed, Published, Report


@dataclass(frozen=True)
class Places:
    """The paths at which volumes are mounted."""

    work: Path = Path(WORK_DIRECTORY)
    secrets: Path = Path(SECRETS_DIRECTORY)
    claims: Path = Path(CLAIMS_DIRECTORY)
    token_file: Path = Path(REGISTRY_TOKEN_FILE)
    progress_token_file: Path = Path(PROGRESS_TOKEN_FILE)
    handoff: HandoffFolders = field(default_factory=HandoffFolders)


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Runs the process and returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)  # libraries warn about deliberate choices
    places = Places(
        options.work_directory,
        options.secrets_directory,
        options.claims_directory,
        options.registry_token_file,
        options.progress_token_file,
        HandoffFolders(options.in_directory, options.out_directory),
    )
    progress = Progress(sys.stdout)
    try:
        outcome = run(environment.get(JOB_INPUT_VARIABLE), places, progress, fetch_only=options.fetch_only)
        message, code = encode(outcome) if outcome else b"", _exit_code(outcome)
    except Exception as error:
        traceback.print_exc()
        message, code = _crash(error), 1
    return leave(message, code, options.termination_log, progress)


def run(text: str | None, places: Places, progress: Progress, *, fetch_only: bool = False) -> Report | None:
    """Returns the report of the Job with the input ``text``. Expected failures are values, others are raised.

    With ``fetch_only`` it fetches the converter's input for another container, and returns None.
    """
    try:
        given = _decode(text)
        if given.progress_url:
            progress.tell = lambda step: report_progress(given.progress_url, places.progress_token_file, step)
        work = _fresh(places.work)
        access = RegistryAccess(
            secrets=places.secrets,
            token_file=places.token_file,
            own_host=given.target.registry,
            plain_http_hosts=given.plain_http_hosts,
        )
        fetcher = Fetcher(
            access,
            progress,
            secrets=places.secrets,
            claims=places.claims,
            allowed_hosts=given.allowed_hosts,
            source_limit_bytes=given.source_limit_bytes,
            downloader=Downloader(),
        )
        if fetch_only:
            hand_over(given.request, fetcher, places.handoff)
            return None
        converter = given.request.source.converter
        files = FromConverter(fetcher, converter, places.handoff) if converter else fetcher
        with CheckpointRegistry(places.work / "checkpoints", given.target, access, progress) as checkpoints:
            results = pipeline.run(given.request, given.model, files, work, progress, checkpoints=checkpoints)
        if stopped := pipeline.overall(results):
            return _stopped(stopped, several=len(results) > 1)
        return _publish(given, results, access, work, progress)
    except LargeSource as error:
        return Failed(error.reason, error.message, transient=True, source_size_bytes=error.size_bytes)
    except EdgeModelError as error:
        return Failed(error.reason, error.message, isinstance(error, Transient))
    except MemoryError:
        message = "not enough memory: raise spec.compression.resources.limits.memory"
        return Failed(reasons.OUT_OF_MEMORY, message, transient=False)
    except OSError as error:  # a full disk may have room on another try; a file without rights will not get them
        message = f"a file of the Job cannot be read or written: {in_words(error)}"
        return Failed(reasons.COMPRESSION_FAILED, message, transient=not isinstance(error, PermissionError))


def encode(outcome: Report) -> bytes:
    """Returns at most 4,096 bytes; if there are many variants, they lose their checks, which the artifact's manifest
    keeps."""
    try:
        return report.encode(outcome)
    except ValueError:
        if isinstance(outcome, Failed):
            return report.encode(replace(outcome, checks=()))
        artifacts = tuple(replace(artifact, checks=()) for artifact in outcome.artifacts)
        return report.encode(replace(outcome, artifacts=artifacts))


def _publish(
    given: JobInput, results: tuple[Compressed, ...], access: RegistryAccess, work: Path, progress: Progress
) -> Published:
    artifacts = []
    for result in results:
        progress.say(f"publishing {given.target.repository}, variant {result.manifest.variant}")
        published = artifact_image.publish(result.folder, result.manifest, given.target, access, work)
        progress.say(f"published {published.image}: {published.transfer_bytes} bytes to transfer")
        artifacts.append(_artifact(result, published))
    converter = results[0].manifest.evidence["source"].get("converter") or {}
    digest, signature = results[0].manifest.source_digest, results[0].signature
    return Published(digest, tuple(artifacts), converter.get("digest"), signature)


def _artifact(result: Compressed, published: artifact_image.PublishedImage) -> ArtifactReport:
    evaluation, latency = result.evaluation, result.latency
    return ArtifactReport(
        variant=result.manifest.variant,
        image=published.image,
        digest=result.manifest.artifact_digest,
        size_bytes=result.size_bytes,
        transfer_bytes=published.transfer_bytes,
        source_size_bytes=result.source_size_bytes,
        accuracy=f"{evaluation.artifact.score:.4f}" if evaluation and evaluation.artifact else None,
        source_accuracy=f"{evaluation.source.score:.4f}" if evaluation and evaluation.source else None,
        sample_count=evaluation.samples if evaluation else 0,
        latency_milliseconds=f"{latency.artifact.p50:.4g}" if latency else None,
        source_latency_milliseconds=f"{latency.source.p50:.4g}" if latency else None,
        checks=result.decision.checks,
        runtime=result.manifest.runtime,
        server_layers=published.server_layers,
        generator=facts_of(result.manifest.evidence),
    )


def _stopped(result: Compressed, *, several: bool) -> Failed:
    decision = result.decision
    assert decision.reason is not None
    message = f"variant {result.manifest.variant}: {decision.message}" if several else decision.message
    return Failed(decision.reason, message, transient=False, checks=decision.checks)


def _decode(text: str | None) -> JobInput:
    try:
        return JobInput.decode(text or "")
    except ValueError as error:
        message = f"{JOB_INPUT_VARIABLE} holds no request that this compressor understands: {in_words(error)}"
        raise Stalled(reasons.INVALID_SPEC, message) from error


def _fresh(work: Path) -> Path:
    """Returns an empty folder below ``work``, beside one for temporary files, which libraries would otherwise put under
    ``/tmp``."""
    folder, temporary = work / "run", work / "tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = str(temporary)
    return folder


def _exit_code(outcome: Report | None) -> int:
    if outcome is None or isinstance(outcome, Published):
        return 0
    return Transient.exit_code if outcome.transient else Stalled.exit_code


def _crash(error: Exception) -> bytes:
    text = f"{reasons.COMPRESSION_FAILED}: {in_words(error, report.MAX_BYTES)}"
    return report.shorten(text, report.MAX_BYTES // 4).encode(errors="replace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m edge_compressor",
        description=f"Runs the compression that the variable {JOB_INPUT_VARIABLE} asks for.",
        parents=[option_parser()],
    )
    defaults = Places()
    for name, default in (
        ("work-directory", defaults.work),
        ("secrets-directory", defaults.secrets),
        ("claims-directory", defaults.claims),
        ("registry-token-file", defaults.token_file),
        ("progress-token-file", defaults.progress_token_file),
        ("in-directory", Path(IN_DIRECTORY)),
        ("out-directory", Path(OUT_DIRECTORY)),
    ):
        parser.add_argument(f"--{name}", type=Path, default=default, help="default: %(default)s")
    parser.add_argument("--fetch-only", action="store_true", help="only fetch the input of the converter")
    return parser
