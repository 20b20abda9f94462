"""Turns the errors of libraries into messages for people; nothing else does.

The libraries below raise anything for models and files that they were not made for. Whoever calls them says what was
being done, and to whom it matters (a reason); the words of the library follow, on one line and cut.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from edgemodel.errors import EdgeModelError

MAX_LENGTH: Final = 500
"""Characters of a library's own words."""


def explain(error: BaseException, max_length: int = MAX_LENGTH) -> str:
    """Returns what ``error`` is and says, on one line; what is a message already stays as it is."""
    if isinstance(error, EdgeModelError):
        return error.message
    said = " ".join(str(error).split())[:max_length]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def first_line(error: BaseException, max_length: int = MAX_LENGTH) -> str:
    """Returns the first line of what ``error`` says, for libraries whose other lines are their stack."""
    lines = str(error).strip().splitlines()
    return lines[0][:max_length] if lines else type(error).__name__


@contextlib.contextmanager
def explained(raising: Callable[[str], Exception]) -> Iterator[None]:
    """Whatever a library raises within is raised as ``raising(message)``.

    What has a message already passes, and so does what no change of the model helps against: errors of the system, and
    too little memory, which is raised as MemoryError, however the library tells of it.
    """
    try:
        yield
    except (EdgeModelError, MemoryError, OSError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # what torch says, in a RuntimeError
            raise MemoryError(str(error)) from error
        raise raising(explain(error)) from error
