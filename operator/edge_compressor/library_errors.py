"""Classifies the exceptions of libraries: too little memory, a failing disk, or an unsuitable model.

Libraries raise anything for models and files that they were not made for. The caller says what was being done, and the
reason of the error; the cause follows in the words of ``edgemodel.error_words``.
"""

import contextlib
from collections.abc import Callable, Iterator

from edgemodel.error_words import in_words
from edgemodel.errors import EdgeModelError


@contextlib.contextmanager
def explained(raising: Callable[[str], Exception]) -> Iterator[None]:
    """Raises what a library raises inside the context as ``raising(message)``.

    Errors that have a message already pass, and so do errors that no change of the model cures: those of the system,
    and too little memory, which is raised as MemoryError, however the library reports it.
    """
    try:
        yield
    except (EdgeModelError, MemoryError, OSError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # torch's message, in a RuntimeError
            raise MemoryError from error
        raise raising(in_words(error)) from error
