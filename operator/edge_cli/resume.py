"""``kubectl edgemodel resume``: continues a paused rollout."""

import argparse
from typing import Final

from edge_cli import kubectl
from edge_cli.verb import Verb


def run(options: argparse.Namespace) -> int:
    """Unsets ``spec.rollout.paused`` and returns the exit code. Raises KubectlFailure."""
    return kubectl.patch_rollout(options, {"paused": False}, "continues")


VERB: Final = Verb(
    name="resume",
    summary="continue a paused rollout",
    description="Continues a paused rollout where it stopped.",
    add_options=kubectl.add_model_options,
    run=run,
)
