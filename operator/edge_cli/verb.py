"""One verb of a command: its options and what it does."""

import argparse
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgemodel.version import VERSION


class UsageError(Exception):
    """The command line, or a file named on it, is invalid. The exit code is 2."""


@dataclass(frozen=True)
class Verb:
    """A verb of a parser; each file of a verb defines one."""

    name: str
    summary: str
    """One line for the list of verbs."""
    description: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """The function that runs the verb and returns the exit code."""
    examples: str | None = None


def command_parser(
    prog: str, description: str, verbs: Iterable[Verb], *, examples: str | None = None
) -> argparse.ArgumentParser:
    """Returns a parser whose namespace holds the chosen verb's ``run`` as ``run``."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for verb in verbs:
        command = commands.add_parser(
            verb.name,
            help=verb.summary,
            description=textwrap.fill(verb.description, 100),
            epilog=verb.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_options(command)
        command.set_defaults(run=verb.run)
    return parser


def add_credentials_option(command: argparse.ArgumentParser) -> None:
    """Adds ``--config``, the file with the credentials of registries."""
    command.add_argument(
        "--config",
        type=Path,
        default=Path.home() / ".docker" / "config.json",
        metavar="FILE",
        help="Docker's config.json with the credentials of registries; default: %(default)s",
    )
