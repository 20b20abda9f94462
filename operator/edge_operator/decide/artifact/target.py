"""The target: the revision that the spec asks for, and the revisions whose artifacts it can have."""

from edge_operator.decide.artifact.server_build import current_server, is_on_current_server
from edge_operator.decide.observation import Observation, Revision
from edgemodel.names import short_hash


def target_name(observation: Observation) -> str:
    """Returns the revision that the spec asks for: one that was made for it, or the name of the one to make.

    With ``upgrade_servers`` it must also be on the server that the chart now names; without, an older one suffices, so
    that an upgrade of the chart starts no rollout.
    """
    first = _first_name(observation)
    spec_hash = observation.spec.revision_hash
    made = sorted(
        (r for r in observation.revisions if r.spec.spec_hash == spec_hash), key=lambda r: (r.created, r.name)
    )
    if observation.settings.upgrade_servers:
        newest = [revision for revision in made if is_on_current_server(revision, observation.settings)]
        if made and not newest:
            return _next_name(observation, made)
        made = newest
    names = [revision.name for revision in made]
    for name in (observation.status.stable_revision, first):
        if name in names:
            return str(name)
    return names[-1] if names else first


def _first_name(observation: Observation) -> str:
    return f"{observation.name}-{observation.spec.revision_hash}"


def _next_name(observation: Observation, earlier: list[Revision]) -> str:
    """Returns the name of a revision that differs from ``earlier`` ones only in its server."""
    what = f"{observation.spec.revision_hash}/{current_server(earlier, observation.settings)}"
    return f"{observation.name}-{short_hash(what)}"


def twins_of_target(observation: Observation) -> list[Revision]:
    """Returns the recorded revisions with the artifacts that the spec asks for, on whatever server image."""
    fingerprint = observation.spec.request.fingerprint
    return [revision for revision in observation.revisions if revision.fingerprint == fingerprint]


def newest_usable_twin(observation: Observation) -> Revision | None:
    """Returns the newest revision whose artifacts can be served again; None if there is none.

    With ``upgrade_servers`` they must be on the server that the chart now names.
    """
    twins, settings = twins_of_target(observation), observation.settings
    if settings.upgrade_servers:
        twins = [twin for twin in twins if is_on_current_server(twin, settings)]
    return max(twins, key=lambda twin: (twin.created, twin.name), default=None)
