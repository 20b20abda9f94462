"""The kinds of settings that steps and checks have: each has documentation, ``read`` and the schema of the manifest.

``read`` returns the value or raises ValueError with what is wanted; it takes what ``schema`` takes, and nothing else.
Fractions are decimal texts (``"0.7"``), as everywhere in a manifest: Kubernetes knows no floats. ``doc`` is what
``kubectl explain`` says of a setting, with range and unit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

Settings = Mapping[str, Any]
"""Resolved: every key of the type, each value as its Setting read it."""
Schema = dict[str, Any]


class Setting(Protocol):
    @property
    def default(self) -> Any: ...

    @property
    def doc(self) -> str: ...

    def read(self, value: object) -> Any:
        """Returns ``value`` as the setting takes it. Raises ValueError, which says what is wanted."""

    def schema(self) -> Schema:
        """Returns the OpenAPI schema of the setting, without its description, with its default."""


@dataclass(frozen=True)
class Flag:
    default: bool
    doc: str

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value

    def schema(self) -> Schema:
        return {"type": "boolean", "default": self.default}


@dataclass(frozen=True)
class Whole:
    """A whole number, both ends included; ``maximum`` None: without end."""

    default: int
    doc: str
    minimum: int = 1
    maximum: int | None = None

    def read(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and self.minimum <= value <= (self.maximum or value):
            return value
        if self.maximum is None:
            raise ValueError(f"a whole number, at least {self.minimum}")
        raise ValueError(f"a whole number of {self.minimum} to {self.maximum}")

    def schema(self) -> Schema:
        width = "int32" if self.maximum is not None and self.maximum <= _MAX_INT32 else "int64"
        maximum = {} if self.maximum is None else {"maximum": self.maximum}
        return {"type": "integer", "format": width, "minimum": self.minimum, **maximum, "default": self.default}


@dataclass(frozen=True)
class Fraction:
    """A decimal text, both ends included."""

    default: str
    doc: str
    minimum: str
    maximum: str

    def read(self, value: object) -> str:
        fits = isinstance(value, str) and _DECIMAL.fullmatch(value)
        if isinstance(value, str) and fits and Decimal(self.minimum) <= Decimal(value) <= Decimal(self.maximum):
            return value
        raise ValueError(self._wanted)

    def schema(self) -> Schema:
        within = f"double(self) >= {_double(self.minimum)} && double(self) <= {_double(self.maximum)}"
        rule = f"self.matches('{_DECIMAL_PATTERN}') && {within}"
        return {
            "type": "string",
            "maxLength": _MAX_DECIMAL_LENGTH,
            "pattern": _DECIMAL_PATTERN,
            "x-kubernetes-validations": [{"rule": rule, "message": f"write {self._wanted}"}],
            "default": self.default,
        }

    @property
    def _wanted(self) -> str:
        return f'a decimal in quotes, "{self.minimum}" to "{self.maximum}"'


@dataclass(frozen=True)
class Choice:
    default: str
    doc: str
    options: tuple[str, ...]

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(", ".join(self.options[:-1]) + f" or {self.options[-1]}")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.options), "default": self.default}


@dataclass(frozen=True)
class Texts:
    """A list of texts, each once; empty by default."""

    doc: str
    max_items: int
    """Of the list."""
    max_length: int
    """Characters of each."""
    pattern: str = ""
    each: str = "One of them."
    """What ``kubectl explain`` says of one."""

    @property
    def default(self) -> list[str]:
        return []

    def read(self, value: object) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("a list of texts")
        return value

    def schema(self) -> Schema:
        each = {"description": self.each, "type": "string", "maxLength": self.max_length, "minLength": 1}
        pattern = {"pattern": self.pattern} if self.pattern else {}
        listed = {"type": "array", "maxItems": self.max_items, "x-kubernetes-list-type": "set"}
        return listed | {"items": each | pattern}


_MAX_INT32 = 2**31 - 1
_DECIMAL_PATTERN = "^[0-9]{1,9}([.][0-9]{1,9})?$"
_DECIMAL = re.compile(_DECIMAL_PATTERN)
_MAX_DECIMAL_LENGTH = 19


def _double(text: str) -> str:
    """Returns the number ``text`` as CEL writes a double."""
    return text if "." in text else f"{text}.0"
