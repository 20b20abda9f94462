"""May this EdgeModel's program run? Who may write an EdgeModel does not gain by it the right to run any image."""

from edge_operator.decide.observation import Observation

BOUNDARIES = "/:@"
"""Where a prefix may end: ``registry.example/team`` is no prefix of ``registry.example/teams/…``."""


def refusal(observation: Observation) -> str | None:
    """Why the program of the spec may not run, and what would let it; None when it may, or there is none."""
    program, allowed = observation.spec.source.program, observation.settings.allowed_program_images
    if program is None or any(_begins(program.image, prefix) for prefix in allowed):
        return None
    has = f"has {', '.join(allowed)}" if allowed else "is empty"
    return (
        f"spec.source.program.image {program.image} may not run here: whoever installed the chart can add a prefix of "
        f"it to the value operator.allowedProgramImages, which {has}"
    )


def _begins(image: str, prefix: str) -> bool:
    """A prefix without a path would let in every port of a host, and is none."""
    if "/" not in prefix or not image.startswith(prefix):
        return False
    return prefix[-1] in BOUNDARIES or image[len(prefix) :][:1] in BOUNDARIES
