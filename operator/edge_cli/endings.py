"""The end of a command: every exception becomes a line for the user and an exit code, here and nowhere else."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Final

from edge_cli.kubectl import KubectlError
from edge_cli.verb import UsageError
from edgemodel.error_words import in_words
from edgemodel.errors import EdgeModelError
from edgemodel.user_files import UnreadableFile

KUBECTL_FAILED: Final = 1
WRONG_USAGE: Final = 2
CHANGE_SOMETHING: Final = 3
DEFECT: Final = 70
"""The exit code of a defect of the command itself, which no input should cause."""
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


def ending_of(run: Callable[[], int]) -> int:
    """Runs a verb and returns the exit code of the process; writes the error to standard error."""
    try:
        code = run()
        sys.stdout.flush()
        return code
    except EdgeModelError as error:
        return _say(f"{error.reason}: {error.message}", error.exit_code)
    except (UsageError, UnreadableFile) as error:
        return _say(str(error), WRONG_USAGE)
    except KubectlError as error:
        return _say(str(error), KUBECTL_FAILED)
    except BrokenPipeError:  # of a pager that was left, as in `edgemodel report … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        return _say(in_words(error), CHANGE_SOMETHING)
    except MemoryError:
        return _say("there is not enough memory for that", CHANGE_SOMETHING)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Exception as error:
        return _say(f"a defect of this command: {in_words(error)}{_kept(error)}", DEFECT)


def _say(text: str, code: int) -> int:
    print(f"edgemodel: {text}", file=sys.stderr)
    return code


def _kept(error: Exception) -> str:
    """Returns the place of the details for a report of the defect, if they could be written anywhere."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="edgemodel-defect-", suffix=".txt", delete=False) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return ""
    return f"; please report it with the file {file.name}"
