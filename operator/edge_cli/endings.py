"""The end of a command: every exception becomes a line for the user and an exit code, here and nowhere else."""

import os
import select
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Final, TextIO

from edge_cli.verb import UsageError
from edgemodel.error_words import in_words
from edgemodel.errors import EdgeModelError, Transient
from edgemodel.kubectl import KubectlFailure
from edgemodel.user_files import UnreadableFile

KUBECTL_FAILED: Final = 1
"""The exit code of ``kubectl edgemodel`` for every failure of kubectl."""
WRONG_USAGE: Final = 2
CHANGE_SOMETHING: Final = 3
DEFECT: Final = 70
"""The exit code of a defect of the command itself, which no input should cause."""
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


def ending_of(run: Callable[[], int], *, of_kubectl: int | None = None) -> int:
    """Runs a verb and returns the exit code of the process; writes the error to standard error.

    ``of_kubectl`` is the code for a failure of kubectl; None: that of a failure which heals, or lasts.
    """
    try:
        return _ending_of(run, of_kubectl)
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def _ending_of(run: Callable[[], int], of_kubectl: int | None) -> int:
    try:
        return _code_of(run)
    except EdgeModelError as error:
        return _say(f"{error.reason}: {error.message}", error.exit_code)
    except (UsageError, UnreadableFile) as error:
        return _say(str(error), WRONG_USAGE)
    except KubectlFailure as error:
        return _say(str(error), of_kubectl or (Transient.exit_code if error.heals else CHANGE_SOMETHING))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and (_nobody_reads(sys.stdout) or _nobody_reads(sys.stderr)):
            return PIPE_CLOSED  # of a pager that was left, as in `edgemodel report … | head`
        return _say(in_words(error), CHANGE_SOMETHING)
    except MemoryError:
        return _say("there is not enough memory for that", CHANGE_SOMETHING)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Exception as error:
        return _say(f"a defect of this command: {in_words(error)}{_kept(error)}", DEFECT)


def _code_of(run: Callable[[], int]) -> int:
    """Returns the exit code of a run whose whole output is written."""
    try:
        code = run()
    except SystemExit as parsed:  # after --help and --version, or for a wrong command line, which the parser explains
        code = parsed.code if isinstance(parsed.code, int) else WRONG_USAGE
    if sys.stdout is not None:  # as with >&-
        sys.stdout.flush()
    return code


def _nobody_reads(stream: TextIO | None) -> bool:
    """Returns whether the stream leads into a pipe whose reader is gone."""
    if stream is None:
        return False
    asked = select.poll()
    asked.register(stream.fileno(), 0)  # a missing reader is told unasked
    return bool(asked.poll(0))


def _let_go(stream: TextIO | None) -> None:
    """Makes a stream that cannot be written lead nowhere, since the interpreter writes what it holds when it ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(text: str, code: int) -> int:
    """Returns ``code``, or PIPE_CLOSED if nobody reads what is said."""
    try:
        print(f"edgemodel: {text}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError:  # such as a full disk: the exit code still tells
        pass
    return code


def _kept(error: Exception) -> str:
    """Returns the place of the details for a report of the defect, if they could be written anywhere."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="edgemodel-defect-", suffix=".txt", delete=False) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return ""
    return f"; please report it with the file {file.name}"
