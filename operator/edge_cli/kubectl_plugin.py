"""The command ``kubectl-edgemodel``, which kubectl runs as ``kubectl edgemodel``."""

import sys
from collections.abc import Sequence
from typing import Final

from edge_cli import pause, resume, retry, status
from edge_cli.endings import KUBECTL_FAILED, ending_of
from edge_cli.verb import Verb, command_parser

VERBS: Final[tuple[Verb, ...]] = (status.VERB, retry.VERB, pause.VERB, resume.VERB)
_DESCRIPTION: Final = "Shows the status of EdgeModels and controls their rollouts, through kubectl."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code: 1 if kubectl failed, 2 for a wrong command line."""
    return ending_of(lambda: _run(arguments), of_kubectl=KUBECTL_FAILED)


def _run(arguments: Sequence[str] | None) -> int:
    options = command_parser("kubectl edgemodel", _DESCRIPTION, VERBS).parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
