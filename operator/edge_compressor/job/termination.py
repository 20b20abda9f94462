"""The end of the Job: its termination message, which the operator reads, and the exit code."""

import argparse
from pathlib import Path
from typing import Final

from edge_compressor.progress import Progress
from edgemodel.error_words import in_words

TERMINATION_LOG: Final = Path("/dev/termination-log")


def option_parser() -> argparse.ArgumentParser:
    """Returns the parser of the option for the file of the message, without help, for a parser with more options."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="default: %(default)s")
    return parser


def leave(message: bytes, code: int, termination_log: Path, progress: Progress) -> int:
    """Writes the termination message and returns ``code``, the exit code of the process."""
    progress.say(f"exit code {code}: {message.decode(errors='replace')}")
    try:
        termination_log.write_bytes(message)
    except OSError as error:
        progress.say(f"the termination message cannot be written: {in_words(error)}")
    return code
