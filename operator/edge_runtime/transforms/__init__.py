"""The transforms that this image has: each is a module of this package, named like the transform in lower case.

A module has one attribute, ``make``, which takes the settings of the artifact's manifest.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from edge_runtime.backend import LoadFailure
from edge_runtime.modules import UnknownModule, find_module
from edge_runtime.transform import Transform
from edgemodel import reasons
from edgemodel.artifact import TransformSpec
from edgemodel.error_words import in_words

Make = Callable[[Mapping[str, Any]], Transform]
"""A function that makes a transform. It raises ValueError, KeyError or TypeError for settings that it does not know."""

_registered: dict[str, Make] = {}


def register(name: str, make: Make) -> None:
    """Adds a transform of another package, until the process ends."""
    _registered[name] = make


def make_transform(spec: TransformSpec) -> Transform:
    """Returns the transform that an artifact manifest names. Raises LoadFailure."""
    try:
        make = _registered.get(spec.type) or cast(Make, find_module(__name__, __path__, spec.type, _registered).make)
        return make(spec.settings)
    except UnknownModule as error:
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"the artifact needs the transform {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        message = f"the transform {spec.type} has settings that it cannot take: {in_words(error)}"
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, message) from error
