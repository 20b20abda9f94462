"""The contents of a new revision: the request, the artifacts, and all that a node runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_operator.decide.actions import RecordRevision
from edge_operator.decide.analysis import objective_edge
from edge_operator.decide.observation import Observation, Revision
from edgemodel import metrics
from edgemodel.analysis import Analysis
from edgemodel.caller_signature import CallerSignature
from edgemodel.compression_request import Source
from edgemodel.report import ArtifactReport, Published
from edgemodel.revision import (
    RevisionConverter,
    RevisionFile,
    RevisionServing,
    RevisionSource,
    RevisionSpec,
    RevisionVariant,
    ShadowReplay,
    StatefulInput,
)


@dataclass(frozen=True)
class _SourceMade:
    """The facts that a compression Job found about its source."""

    digest: str
    converter_digest: str | None
    """The digest of the file that the converter wrote; None without a converter."""
    signature: CallerSignature | None


def record_published(observation: Observation, name: str, report: Published, server_image: str) -> RecordRevision:
    """Returns the action that records what a compression Job published on ``server_image``."""
    artifacts = {artifact.variant: artifact for artifact in report.artifacts}
    source = _SourceMade(report.source_digest, report.converter_digest, report.signature)
    return RecordRevision(name, _revision_spec(observation, source, artifacts, server_image))


def record_twin(observation: Observation, name: str, twin: Revision) -> RecordRevision:
    """Returns the action that records a revision with the artifacts of ``twin``."""
    made, converter = twin.spec, twin.spec.source.converter
    source = _SourceMade(made.source.digest, converter.digest if converter is not None else None, made.signature)
    artifacts = {variant.name: variant.artifact for variant in made.variants}
    return RecordRevision(name, _revision_spec(observation, source, artifacts, made.server_image))


def _revision_spec(
    observation: Observation, made: _SourceMade, artifacts: Mapping[str, ArtifactReport], server_image: str
) -> RevisionSpec:
    """Returns the immutable spec of the target: the request, the artifacts, and all that a node runs.

    ``artifacts`` are by variant; steps, selectors and resources come from the EdgeModel. ``server_image`` is the image
    that the artifacts were put on.
    """
    spec, request = observation.spec, observation.spec.request
    steps = {recipe.variant: recipe.steps for recipe in request.recipes}
    replay = spec.serving.shadow_replay_max_requests
    return RevisionSpec(
        model=observation.name,
        spec_hash=spec.revision_hash,
        fingerprint=request.fingerprint,
        retry_token=spec.rollout.retry_token,
        source=_source(request.source, made),
        datasets={use: RevisionFile(source.uri, source.digest) for use, source in request.datasets.items()},
        teacher=_teacher(request.teacher),
        variants=tuple(
            RevisionVariant(
                name=variant.name,
                steps=steps[variant.name],
                node_selector=variant.node_selector,
                resources=variant.resources,
                artifact=artifacts[variant.name],
            )
            for variant in spec.variants
        ),
        server_image=server_image,
        signature=made.signature,
        serving=RevisionServing(
            port=spec.serving.port,
            strategy=spec.serving.strategy,
            host_port=spec.serving.host_port,
            tuning=spec.serving.tuning,
            shadow_replay=ShadowReplay(replay) if replay else None,
            warm_up_seconds=spec.serving.warm_up_seconds,
            generate=spec.serving.generate,
            api_key_secret_ref=spec.serving.api_key_secret_ref,
            weights=spec.serving.weights,
            tolerations=spec.tolerations,
            image_pull_secrets=spec.image_pull_secrets,
            latency_objective_milliseconds=_objective(spec.analysis, metrics.DURATION_SECONDS),
            first_token_objective_milliseconds=_objective(spec.analysis, metrics.FIRST_TOKEN_SECONDS),
            inter_token_objective_milliseconds=_objective(spec.analysis, metrics.INTER_TOKEN_SECONDS),
        ),
    )


def _objective(analysis: Analysis, metric: str) -> str | None:
    """Returns the objective for ``metric`` in milliseconds.

    The schema allows 8 digits; all 17 of a float would show what dividing by 1000 has rounded.
    """
    seconds = objective_edge(analysis, metric)
    return f"{1000 * seconds:.10g}" if seconds is not None else None


def _source(source: Source, made: _SourceMade) -> RevisionSource:
    converter = None
    if source.converter is not None:
        asked = source.converter
        converter = RevisionConverter(asked.image, asked.args, asked.writes, made.converter_digest)
    stateful = tuple(StatefulInput(taken, given) for taken, given in source.stateful_inputs.items())
    return RevisionSource(source.uri, made.digest, source.format, converter, stateful)


def _teacher(teacher: Source | None) -> RevisionFile | None:
    return RevisionFile(teacher.uri, teacher.digest, teacher.format) if teacher is not None else None
