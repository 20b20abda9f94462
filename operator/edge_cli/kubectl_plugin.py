"""The command ``kubectl-edgemodel``, which kubectl runs as ``kubectl edgemodel``."""

import sys
from collections.abc import Sequence
from typing import Final

from edge_cli import pause, resume, retry, status
from edge_cli.kubectl import KubectlError
from edge_cli.verb import Verb, command_parser

VERBS: Final[tuple[Verb, ...]] = (status.VERB, retry.VERB, pause.VERB, resume.VERB)
_DESCRIPTION: Final = "Shows the status of EdgeModels and controls their rollouts, through kubectl."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code: 1 if kubectl refused, 2 for a wrong command line."""
    options = command_parser("kubectl edgemodel", _DESCRIPTION, VERBS).parse_args(arguments)
    try:
        return int(options.run(options))
    except KubectlError as error:
        print(f"edgemodel: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
