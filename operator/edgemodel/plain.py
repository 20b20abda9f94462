"""Dataclasses as plain JSON values and back: each is written down once, where it is declared.

A value keeps the names of its fields. What is read back is checked against the declared types, so that a message
names the field that is wrong.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any, *, decimal: Callable[[Decimal], str] = str) -> Any:
    """Returns ``value`` as JSON has it: dataclasses and mappings as objects, sequences as lists.

    ``decimal`` writes decimals as texts.
    """

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return decimal(value) if isinstance(value, Decimal) else value

    return plain(value)


def from_plain(kind: type[T], value: Any, where: str = "") -> T:
    """Returns ``value`` as ``kind``: a dataclass, tuple, mapping, Literal, Decimal, text, number, or an option of them.

    A field that ``value`` lacks has its default. Raises ValueError, which names the place below ``where``, for one
    that is unknown, missing or of another type.
    """
    return cast(T, _read(kind, value, where or "it"))


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (inner,) = (one for one in arguments if one is not types.NoneType)
        return _read(inner, value, where)
    if is_dataclass(kind):
        return _read_dataclass(kind, _typed(value, dict, where), where)
    if origin is tuple:
        items = _typed(value, list, where)
        return tuple(_read(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(items))
    if origin in (dict, Mapping):
        return {key: _read(arguments[1], item, f"{where}.{key}") for key, item in _typed(value, dict, where).items()}
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}, want {' or '.join(map(repr, arguments))}")
        return value
    if kind is Decimal:
        try:
            return Decimal(_typed(value, str, where))
        except InvalidOperation:
            raise ValueError(f"{where} is {value!r}, want a decimal") from None
    return _typed(value, kind, where)


def _read_dataclass(kind: Any, value: dict[str, Any], where: str) -> Any:
    hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
    if unknown := sorted(value.keys() - known.keys()):
        raise ValueError(f"{where} has no field {', '.join(unknown)}")
    needed = {name for name, one in known.items() if one.default is MISSING and one.default_factory is MISSING}
    if missing := sorted(needed - value.keys()):
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _typed(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} is {value!r}, want {_WORDS.get(kind, kind.__name__)}")
    return value


_WORDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number", bool: "true or false"}
