"""Modules found by name: each module of a package is one choice, named like it in lower case.

A module is imported, with the libraries that it needs, when it is first asked for.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from edgemodel.error_words import in_words


class UnknownModule(Exception):
    """There is no module of that name, or it lacks a library; the message says which."""


def find_module(package: str, paths: Iterable[str], name: str, registered: Iterable[str] = ()) -> ModuleType:
    """Returns the module of ``package``, which lies at ``paths``, for ``name``. Raises UnknownModule.

    ``registered`` holds more names for the message.
    """
    modules = {module.name for module in pkgutil.iter_modules(list(paths))}
    if name.lower() not in modules:
        known = ", ".join(sorted({*modules, *map(str.lower, registered)})) or "none"
        raise UnknownModule(f"{name!r}, this image has {known}")
    try:
        return importlib.import_module(f"{package}.{name.lower()}")
    except ImportError as error:
        raise UnknownModule(f"{name!r}, which this image lacks: {in_words(error)}") from error
