"""The runtimes that this image has: each is a module of this package, named like the runtime in lower case.

A module is imported, and with it its runtime, when the first artifact asks for it. It has one attribute, ``BACKEND``.
"""

from typing import cast

from edge_runtime.backend import Backend, LoadFailure
from edge_runtime.modules import UnknownModule, find_module
from edgemodel import reasons

_registered: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Adds a runtime of another package, until the process ends."""
    _registered[backend.name] = backend


def find(name: str) -> Backend:
    """Returns the back end of the runtime ``name``, as an artifact manifest has it. Raises LoadFailure."""
    if name in _registered:
        return _registered[name]
    try:
        return cast(Backend, find_module(__name__, __path__, name, _registered).BACKEND)
    except UnknownModule as error:
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"the artifact needs the runtime {error}") from error
