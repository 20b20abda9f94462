"""The parts that all pods of an artifact's image share: servers, pullers and preflight Jobs."""

from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.resources import server_resources
from edge_operator.objects import common
from edge_operator.objects.common import Object
from edgemodel import serving
from edgemodel.plain import to_api
from edgemodel.revision import RevisionVariant


def image(observation: Observation, revision: Revision, variant: str) -> str:
    """Returns the image by digest, at the registry's address on nodes."""
    return f"{observation.settings.registry_pull}/{_variant(revision, variant).image}"


def resources(observation: Observation, revision: Revision, variant: str) -> Object:
    """Returns the resources of a server, and of a preflight Job, which must run under the same limits."""
    found = _variant(revision, variant)
    return server_resources(found, revision.spec.serving, observation.settings.default_resources)


def tuning(revision: Revision) -> list[Object]:
    """Returns the variables of the given settings; the server has defaults for the others."""
    settings = revision.spec.serving
    limits = to_api(settings.generate) if settings.generate is not None else {}
    found = {serving.TUNING[setting]: value for setting, value in sorted(settings.tuning.items())}
    found |= {serving.GENERATE[limit]: value for limit, value in sorted(limits.items())}
    found |= {serving.WEIGHTS: settings.weights} if settings.weights is not None else {}
    return [{"name": name, "value": str(value)} for name, value in found.items()]


def tolerations(revision: Revision) -> list[Object]:
    """Returns the tolerations that the EdgeModel had when the revision was made."""
    return [to_api(toleration) for toleration in revision.spec.serving.tolerations]


def pull_secrets(observation: Observation, revision: Revision) -> list[Object]:
    """Returns the Secrets of the chart, and those that the EdgeModel had when the revision was made."""
    settings = observation.settings
    of_registry = [settings.registry_pull_secret] if settings.registry_pull_secret else []
    return common.pull_secrets((*settings.image_pull_secrets, *of_registry), revision.spec.serving.image_pull_secrets)


def _variant(revision: Revision, name: str) -> RevisionVariant:
    return next(item for item in revision.spec.variants if item.name == name)
