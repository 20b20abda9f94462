"""The runtimes that this image has: each is a module of this package, named as the runtime in lower case.

A module is imported, and with it its runtime, when the first artifact asks for it. It has one attribute, ``BACKEND``.
"""

import importlib
import pkgutil
from functools import cache
from typing import cast

from edge_runtime.backend import Backend, LoadFailure
from edgemodel import reasons

_registered: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Adds a runtime of another package, until the process ends."""
    _registered[backend.name] = backend


def find(name: str) -> Backend:
    """Returns the back end of the runtime ``name``, as an artifact manifest has it. Raises LoadFailure."""
    if name in _registered:
        return _registered[name]
    if name.lower() not in _modules():
        known = ", ".join(sorted({*_modules(), *map(str.lower, _registered)}))
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"the artifact needs the runtime {name!r}, this image has {known}")
    try:
        module = importlib.import_module(f"{__name__}.{name.lower()}")
    except ImportError as error:
        message = f"the artifact needs the runtime {name!r}, which this image lacks: {error}"
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, message) from error
    return cast(Backend, module.BACKEND)


@cache
def _modules() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(__path__))
