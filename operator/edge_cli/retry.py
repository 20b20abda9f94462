"""``kubectl edgemodel retry``: tries a rejected revision once more."""

import argparse
from datetime import UTC, datetime
from typing import Final

from edge_cli import kubectl
from edge_cli.verb import Verb


def run(options: argparse.Namespace) -> int:
    """Sets a new ``spec.rollout.retryToken`` and returns the exit code. Raises KubectlFailure."""
    token = datetime.now(UTC).strftime("retry-%Y-%m-%dT%H:%M:%SZ")
    return kubectl.patch_rollout(
        options, {"retryToken": token}, f"will be tried again (spec.rollout.retryToken: {token})"
    )


VERB: Final = Verb(
    name="retry",
    summary="try a rejected revision once more",
    description="Tries a rejected revision once more, by a new spec.rollout.retryToken.",
    add_options=kubectl.add_model_options,
    run=run,
)
