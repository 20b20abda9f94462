"""``edgemodel serve``: serves models on this machine, with the inference server's own options."""

import argparse
from collections.abc import Sequence
from typing import Final

from edge_cli.endings import ending_of
from edge_cli.verb import Verb


def serve(arguments: Sequence[str]) -> int:
    """Serves until a signal ends the process, and returns the exit code if the server cannot start."""
    from inference_server.serve_cli import main
    from inference_server.server_process import exit_at_once

    exit_at_once(ending_of(lambda: main(arguments)))


def _run(options: argparse.Namespace) -> int:
    return serve(options.arguments)


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("arguments", nargs="*", metavar="…", help="options of the server: edgemodel serve --help")


VERB: Final = Verb(
    name="serve",
    summary="serve models on this machine, without Kubernetes",
    description="Serves models on this machine, without Kubernetes.",
    add_options=_add_options,
    run=_run,
)
