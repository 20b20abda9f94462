"""The architectures, one file per class of models; the package finds each by its ``ARCHITECTURE``."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Final

from edge_compressor.decoders.architecture import Architecture


def _found() -> dict[str, Architecture]:
    modules = [importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
    return {module.ARCHITECTURE.name: module.ARCHITECTURE for module in modules}


ARCHITECTURES: Final[Mapping[str, Architecture]] = _found()
"""Name -> architecture."""
