"""The command ``edgemodel``: compresses, pushes, reports and serves models on one's own machine.

The exit codes are those of the compression Job: 0: done, 2: wrong usage, 3: the user has to change what the message
names, 4: a later try may succeed.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Final

from edge_cli import compress, push, report, serve
from edge_cli.endings import ending_of
from edge_cli.verb import Verb, command_parser

VERBS: Final[tuple[Verb, ...]] = (compress.VERB, push.VERB, report.VERB, serve.VERB)
_DESCRIPTION: Final = "Compresses ONNX models, measures what compression costs, and pushes and serves models."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code. If ``arguments`` is None, those of the process are taken."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == [serve.VERB.name]:  # the server has a parser of its own
        return serve.serve(words[1:])
    return ending_of(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    options = command_parser("edgemodel", _DESCRIPTION, VERBS, examples=compress.EXAMPLES).parse_args(words)
    logging.basicConfig(level=logging.ERROR)  # libraries warn about deliberate choices
    return int(options.run(options))


def start() -> int:
    """Runs the command of this process; a compression in a child process, whose crash ends in a message, too."""
    if sys.argv[1:2] != [compress.VERB.name]:
        return main()
    from edge_compressor.supervision import supervised  # the other verbs do without the compressor

    return ending_of(lambda: supervised(main))


if __name__ == "__main__":
    sys.exit(start())
