"""The permission of a converter's image: the right to write an EdgeModel does not include the right to run any
image."""

from edge_operator.decide.observation import Observation

BOUNDARIES = "/:@"
"""The characters that a prefix may end before: ``registry.example/team`` is no prefix of
``registry.example/teams/…``."""


def refusal(observation: Observation) -> str | None:
    """Returns why the converter of the spec may not run, and what would permit it; None if it may, or there is none."""
    converter, allowed = observation.spec.request.source.converter, observation.settings.allowed_converter_images
    if converter is None or any(_begins(converter.image, prefix) for prefix in allowed):
        return None
    has = f"has {', '.join(allowed)}" if allowed else "is empty"
    return (
        f"spec.source.converter.image {converter.image} may not run here: whoever installed the chart can add a prefix "
        f"of it to the value operator.allowedConverterImages, which {has}"
    )


def _begins(image: str, prefix: str) -> bool:
    """Returns whether ``image`` begins with ``prefix``; one without a path is refused, as it would permit every port of
    a host."""
    if "/" not in prefix or not image.startswith(prefix):
        return False
    return prefix[-1] in BOUNDARIES or image[len(prefix) :][:1] in BOUNDARIES
