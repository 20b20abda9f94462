"""What a setting of a step may be: each kind has a default, and ``read``: it answers the value or says what it wants.

Fractions are decimal texts (``"0.7"``), as everywhere in a manifest: Kubernetes knows no floats. ``doc`` is what
``kubectl explain`` says of it, with range and unit; the schema of the manifest is made of these.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

Settings = Mapping[str, Any]
"""Resolved: every key of the step, each value as its Setting read it."""


class Setting(Protocol):
    @property
    def default(self) -> Any: ...

    @property
    def doc(self) -> str: ...

    def read(self, value: object) -> Any:
        """Raises ValueError, which says what is wanted."""


@dataclass(frozen=True)
class Flag:
    default: bool
    doc: str

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value


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
        raise ValueError(f'a decimal in quotes, "{self.minimum}" to "{self.maximum}"')


@dataclass(frozen=True)
class Choice:
    default: str
    doc: str
    options: tuple[str, ...]

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(", ".join(self.options[:-1]) + f" or {self.options[-1]}")
        return value


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


_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
