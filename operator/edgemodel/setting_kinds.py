"""The kinds of settings of steps and checks, each with documentation, ``read`` and the schema of the manifest.

``read`` returns the value, or raises ValueError that describes the valid values; it accepts the same values as
``schema``. Fractions are decimal strings (``"0.7"``), as everywhere in a manifest, because Kubernetes discourages
floats. ``doc`` is the description for ``kubectl explain``, with range and unit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from edgemodel.error_words import in_words

Settings = Mapping[str, Any]
"""Resolved settings: every key of the type, with its value as its Setting read it."""
Schema = dict[str, Any]


class Setting(Protocol):
    """A kind of setting."""

    @property
    def default(self) -> Any:
        """The value of a setting that is left out, as ``read`` would return it."""

    @property
    def doc(self) -> str:
        """The description for ``kubectl explain``."""

    def read(self, value: object) -> Any:
        """Returns the parsed ``value``. Raises ValueError, which describes the valid values."""

    def schema(self) -> Schema:
        """Returns the OpenAPI schema of the setting, without its description, with its default."""


def settings_key(type_name: str) -> str:
    """Returns the key that holds the settings of a type in a manifest: ``quantizeStatic`` for ``QuantizeStatic``."""
    return type_name[0].lower() + type_name[1:]


def resolve(key: str, kinds: Mapping[str, Setting], given: Settings) -> dict[str, Any]:
    """Returns ``given`` parsed by its kinds, with defaults filled in; ``key`` is its path, for messages.

    Raises ValueError for an unknown key or an invalid value.
    """
    if unknown := sorted(given.keys() - kinds.keys()):
        has = ", ".join(sorted(kinds)) or "none"
        raise ValueError(f"{key} has no setting {', '.join(unknown)}; its settings are: {has}")
    resolved = {name: kind.default for name, kind in kinds.items()}
    for name, value in given.items():
        try:
            resolved[name] = kinds[name].read(value)
        except ValueError as error:
            raise ValueError(f"{key}.{name} is {value!r}, want {in_words(error)}") from error
    return resolved


@dataclass(frozen=True)
class Flag:
    """A boolean."""

    default: bool
    doc: str

    def read(self, value: object) -> bool:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        return {"type": "boolean", "default": self.default}


@dataclass(frozen=True)
class Whole:
    """A whole number from ``minimum`` to ``maximum``, both included; ``maximum`` None: no upper limit."""

    default: int
    doc: str
    minimum: int = 1
    maximum: int | None = None

    def read(self, value: object) -> int:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if isinstance(value, int) and not isinstance(value, bool) and self.minimum <= value <= (self.maximum or value):
            return value
        if self.maximum is None:
            raise ValueError(f"a whole number, at least {self.minimum}")
        raise ValueError(f"a whole number of {self.minimum} to {self.maximum}")

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        width = "int32" if self.maximum is not None and self.maximum <= _MAX_INT32 else "int64"
        maximum = {} if self.maximum is None else {"maximum": self.maximum}
        return {"type": "integer", "format": width, "minimum": self.minimum, **maximum, "default": self.default}


@dataclass(frozen=True)
class Fraction:
    """A decimal string from ``minimum`` to ``maximum``, both included."""

    default: str
    doc: str
    minimum: str
    maximum: str

    def read(self, value: object) -> str:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        fits = isinstance(value, str) and _DECIMAL.fullmatch(value)
        if isinstance(value, str) and fits and Decimal(self.minimum) <= Decimal(value) <= Decimal(self.maximum):
            return value
        raise ValueError(self._wanted)

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
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
class Amount:
    """A decimal string in ``unit``, at least 0; ``maximum`` is a whole number and included."""

    doc: str
    unit: str
    """The unit as messages name it, such as ``percent``."""
    example: str
    default: str | None = None
    minimum: int = 0
    above: bool = False
    """True if ``minimum`` itself is excluded."""
    maximum: int = 100

    def read(self, value: object) -> str:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if isinstance(value, str) and re.fullmatch(self._pattern, value) and self._is_within(Decimal(value)):
            return value
        raise ValueError(self._wanted)

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        number = "^[0-9]+([.][0-9]+)?$"
        rule = f"self.matches('{number}') && double(self) <= {self.maximum}.0"
        if self.above or self.minimum:
            rule += f" && double(self) {'>' if self.above else '>='} {self.minimum}.0"
        return {
            "type": "string",
            "maxLength": len(f"{self.maximum}.0000"),
            "pattern": self._pattern,
            "x-kubernetes-validations": [{"rule": rule, "message": f"write {self._wanted}"}],
            **({"default": self.default} if self.default is not None else {}),
        }

    @property
    def _pattern(self) -> str:
        """Returns the pattern for numbers up to ``maximum``; up to 100, it allows 100 as the only number of three
        digits."""
        if self.maximum == 100:
            return r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$"
        return rf"^[0-9]{{1,{len(str(self.maximum))}}}(\.[0-9]{{1,4}})?$"

    @property
    def _wanted(self) -> str:
        within = (
            f"above {self.minimum}, at most {self.maximum}," if self.above else f"from {self.minimum} to {self.maximum}"
        )
        return f'{self.unit} {within} as a decimal string, such as "{self.example}"'

    def _is_within(self, number: Decimal) -> bool:
        return number <= self.maximum and (number > self.minimum if self.above else number >= self.minimum)


@dataclass(frozen=True)
class Milliseconds:
    """A whole number or decimal string with up to 3 decimals, above 0; ``maximum`` is included. The default is None."""

    doc: str
    maximum: int

    @property
    def default(self) -> None:
        """The default, which is None."""
        return None

    def read(self, value: object) -> str:
        """Returns the number as a decimal string."""
        text = str(value)
        is_text_or_whole = isinstance(value, str | int) and not isinstance(value, bool)
        if is_text_or_whole and re.fullmatch(self._pattern, text) and 0 < Decimal(text) <= self.maximum:
            return text
        raise ValueError(self._wanted)

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        text = "string(self)"
        whole = f"(self > 0 && self <= {self.maximum})"
        decimal = f"({text}.matches('{self._pattern}') && double({text}) > 0.0 && double({text}) <= {self.maximum}.0)"
        return {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": len(f"{self.maximum}.000"),
            "x-kubernetes-validations": [
                {"rule": f"type(self) == int ? {whole} : {decimal}", "message": f"write {self._wanted}"}
            ],
        }

    @property
    def _pattern(self) -> str:
        return f"^[0-9]{{1,{len(str(self.maximum))}}}([.][0-9]{{1,3}})?$"

    @property
    def _wanted(self) -> str:
        within = f"above 0, at most {self.maximum}"
        return f'milliseconds {within}, as a whole number or a decimal string, such as 50 or "2.5"'


@dataclass(frozen=True)
class Number:
    """Any decimal string; the default is None."""

    doc: str

    @property
    def default(self) -> None:
        """The default, which is None."""
        return None

    def read(self, value: object) -> str:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return value
        raise ValueError("a decimal in quotes")

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        return {"type": "string", "maxLength": _MAX_NUMBER_LENGTH, "pattern": _NUMBER_PATTERN}


@dataclass(frozen=True)
class PositiveNumber:
    """A decimal string above 0; the default is None."""

    doc: str

    @property
    def default(self) -> None:
        """The default, which is None."""
        return None

    def read(self, value: object) -> str:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if isinstance(value, str) and _DECIMAL.fullmatch(value) and Decimal(value) > 0:
            return value
        raise ValueError(_POSITIVE)

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        rule = f"self.matches('{_DECIMAL_PATTERN}') && double(self) > 0.0"
        return {
            "type": "string",
            "maxLength": _MAX_DECIMAL_LENGTH,
            "pattern": _DECIMAL_PATTERN,
            "x-kubernetes-validations": [{"rule": rule, "message": f"write {_POSITIVE}"}],
        }


@dataclass(frozen=True)
class Text:
    """A string that is not empty; the default is None."""

    doc: str
    max_length: int

    @property
    def default(self) -> None:
        """The default, which is None."""
        return None

    def read(self, value: object) -> str:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if isinstance(value, str) and 0 < len(value) <= self.max_length:
            return value
        raise ValueError(f"a text of 1 to {self.max_length} characters")

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        return {"type": "string", "maxLength": self.max_length, "minLength": 1}


@dataclass(frozen=True)
class Choice:
    """One of several texts."""

    default: str
    doc: str
    options: tuple[str, ...]

    def read(self, value: object) -> str:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(", ".join(self.options[:-1]) + f" or {self.options[-1]}")
        return value

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        return {"type": "string", "enum": list(self.options), "default": self.default}


@dataclass(frozen=True)
class OneOf:
    """One of several whole numbers."""

    default: int
    doc: str
    options: tuple[int, ...]

    def read(self, value: object) -> int:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if not isinstance(value, int) or isinstance(value, bool) or value not in self.options:
            raise ValueError(self._wanted)
        return value

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        return {
            "type": "integer",
            "format": "int32",
            "minimum": min(self.options),
            "maximum": max(self.options),
            "x-kubernetes-validations": [{"rule": f"self in {list(self.options)}", "message": f"write {self._wanted}"}],
            "default": self.default,
        }

    @property
    def _wanted(self) -> str:
        return ", ".join(map(str, self.options[:-1])) + f" or {self.options[-1]}"


@dataclass(frozen=True)
class Texts:
    """A list of distinct strings; the default is empty."""

    doc: str
    max_items: int
    """The maximum number of items."""
    max_length: int
    """The maximum number of characters per item."""
    pattern: str = ""
    each: str = "One entry of the list."
    """The description of one item for ``kubectl explain``."""

    @property
    def default(self) -> list[str]:
        """The default, which is empty."""
        return []

    def read(self, value: object) -> list[str]:
        """Returns ``value``. Raises ValueError, which describes the valid values."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("a list of texts")
        return value

    def schema(self) -> Schema:
        """Returns the schema, which accepts the same values as ``read``."""
        each = {"description": self.each, "type": "string", "maxLength": self.max_length, "minLength": 1}
        pattern = {"pattern": self.pattern} if self.pattern else {}
        listed = {"type": "array", "maxItems": self.max_items, "x-kubernetes-list-type": "set"}
        return listed | {"items": each | pattern}


_MAX_INT32 = 2**31 - 1
_DECIMAL_PATTERN = "^[0-9]{1,9}([.][0-9]{1,9})?$"
_DECIMAL = re.compile(_DECIMAL_PATTERN)
_MAX_DECIMAL_LENGTH = 19
_POSITIVE = 'a decimal above 0 in quotes, such as "0.5"'
_NUMBER_PATTERN = r"^-?[0-9]{1,12}(\.[0-9]{1,9})?$"
_NUMBER = re.compile(_NUMBER_PATTERN)
_MAX_NUMBER_LENGTH = 24


def _double(text: str) -> str:
    """Returns the number ``text`` as CEL writes a double."""
    return text if "." in text else f"{text}.0"
