"""The names of classes that an ONNX file carries in its metadata."""

import ast
import json
from typing import Any, Final

import onnx

from edgemodel.whole_number import whole_number

KEYS: Final = ("names", "class_names", "classes", "labels")
"""The metadata keys under which exporters of detectors and classifiers write the names."""
MAX_CHARACTERS: Final = 2**20
"""The length in characters above which a text is not read."""


def named_classes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Returns the names by class number; empty if the metadata has no readable ones.

    A list of texts is read, and a mapping from 0, 1, … to texts, in JSON or as Python literals.
    """
    held = {entry.key: entry.value for entry in model.metadata_props if len(entry.value) <= MAX_CHARACTERS}
    return next((names for key in KEYS if (names := _names(held.get(key, "")))), ())


def _names(text: str) -> tuple[str, ...]:
    value = _literal(text)
    if isinstance(value, dict):
        numbered = {number: name for key, name in value.items() if (number := whole_number(str(key))) is not None}
        if sorted(numbered) != list(range(len(value))):
            return ()
        value = [numbered[number] for number in range(len(numbered))]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return ()
    return tuple(value)


def _literal(text: str) -> Any:
    """Returns the value of the literal ``text``; None if it is not one."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    return None
