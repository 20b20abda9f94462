"""``kubectl edgemodel pause``: stops a rollout where it is."""

import argparse
from typing import Final

from edge_cli import kubectl
from edge_cli.verb import Verb


def run(options: argparse.Namespace) -> int:
    """Sets ``spec.rollout.paused`` and returns the exit code. Raises KubectlFailure."""
    return kubectl.patch_rollout(
        options, {"paused": True}, "is paused: no further node gets the candidate; a rollback still happens"
    )


VERB: Final = Verb(
    name="pause",
    summary="stop a rollout where it is",
    description="Stops a rollout where it is: no further node gets the candidate. A rollback still happens.",
    add_options=kubectl.add_model_options,
    run=run,
)
