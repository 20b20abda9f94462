"""What every pod made from an artifact's image has, whether it serves, holds the image, or runs preflight."""

from edge_operator.decide.observation import Observation, Revision
from edge_operator.objects.common import Object
from edgemodel import serving
from edgemodel.revision import RevisionVariant

DEFAULT_RESOURCES: Object = {
    "requests": {"cpu": "50m", "memory": "96Mi"},
    "limits": {"memory": "512Mi"},
}
"""Of a server; a preflight Job has the same, to be as quick and as short of memory."""


def image(observation: Observation, revision: Revision, variant: str) -> str:
    """By digest, from the registry as the nodes call it."""
    return f"{observation.settings.registry_pull}/{_variant(revision, variant).image}"


def resources(revision: Revision, variant: str) -> Object:
    return _variant(revision, variant).resources or DEFAULT_RESOURCES


def tuning(revision: Revision) -> list[Object]:
    """Variables; what is not there has the server's default."""
    settings = revision.spec.serving.tuning
    return [{"name": serving.TUNING[setting], "value": str(value)} for setting, value in sorted(settings.items())]


def tolerations(revision: Revision) -> list[Object]:
    """Returns the tolerations that the EdgeModel had when the revision was made."""
    return list(revision.spec.serving.tolerations)


def pull_secrets(observation: Observation) -> list[Object]:
    settings = observation.settings
    names = [*settings.image_pull_secrets, *([settings.registry_pull_secret] if settings.registry_pull_secret else [])]
    return [{"name": name} for name in names]


def _variant(revision: Revision, name: str) -> RevisionVariant:
    return next(item for item in revision.spec.variants if item.name == name)
