"""Dataclasses as plain JSON values and back: each field is written down once, where it is declared.

A value keeps the names of its fields; in objects of the API server and in reports they are in camel case (``to_api``,
``from_api``). Values that are read back are checked against the declared types, so that a message names the field that
is wrong.
"""

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from edgemodel.timestamp import parse_timestamp, timestamp

T = TypeVar("T")


def to_plain(value: Any, *, decimal: Callable[[Decimal], str] = str) -> Any:
    """Returns ``value`` in JSON's types: dataclasses and mappings as objects, sequences as lists.

    Paths become texts, and ``decimal`` turns decimals into texts.
    """

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        if isinstance(value, Path):
            return str(value)
        return decimal(value) if isinstance(value, Decimal) else value

    return plain(value)


def from_plain(kind: type[T], value: Any, where: str = "") -> T:
    """Returns ``value`` as ``kind``: a dataclass, tuple, mapping, Literal, Decimal, path, text, number, or an
    option of them.

    A field that ``value`` lacks gets its default. Raises ValueError, which names the place below ``where``, for one
    that is unknown, missing or of another type.
    """
    return cast(T, _read(kind, value, where or "it", _Form(api=False)))


@cache
def camel_case(name: str) -> str:
    """Returns ``size_bytes`` as ``sizeBytes``."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def to_api(value: Any) -> Any:
    """Returns ``value`` as an object of the API server has it: in camel case, without empty fields.

    A field is empty if it is None, or if it has a default and an empty value. Times are in RFC 3339.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if is_dataclass(kind):
        given = ((key, getattr(value, name), optional) for name, key, optional in _written(kind))
        return {key: to_api(item) for key, item, optional in given if not _is_empty(item, optional)}
    if isinstance(value, Mapping):
        return {key: to_api(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_api(item) for item in value]
    if isinstance(value, datetime):
        return timestamp(value)
    return value.value if isinstance(value, Enum) else value


def from_api(kind: type[T], value: Any, where: str = "") -> T:
    """Returns what ``to_api`` wrote as ``kind``. Fields that ``kind`` does not have are ignored.

    Raises ValueError as ``from_plain`` does.
    """
    return cast(T, _read(kind, value, where or "it", _Form(api=True)))


def readable_from_api(kind: type[T], value: Any, where: str = "") -> tuple[T, tuple[str, ...]]:
    """Returns the readable part of what another version's ``to_api`` may have written, and a message for the rest.

    A field that is missing or wrong gets its default, or else the empty value of its type: ``""``, 0, an empty tuple
    or the beginning of 1970. An item of a list is left out if one of its fields has neither. Raises ValueError if
    ``value`` is no object.
    """
    problems: list[str] = []
    return cast(T, _read(kind, value, where or "it", _Form(api=True, problems=problems))), tuple(problems)


@dataclass(frozen=True)
class _Form:
    api: bool
    """True if names are in camel case, and unknown fields are ignored."""
    problems: list[str] | None = None
    """The messages about what could not be read, so far; None: the first one is raised."""


_AS_THEY_ARE = frozenset({str, int, float, bool, types.NoneType})
"""The types of values that are JSON already: almost all, so that they are looked up before anything else."""


@cache
def _written(kind: type[Any]) -> tuple[tuple[str, str, bool], ...]:
    """Returns (field, its name in the API, whether it has a default) of each field of the dataclass."""
    return tuple(
        (one.name, camel_case(one.name), one.default is not MISSING or one.default_factory is not MISSING)
        for one in fields(kind)
    )


def _is_empty(value: Any, optional: bool) -> bool:
    return value is None or (optional and not value and isinstance(value, tuple | Mapping))


def _read(kind: Any, value: Any, where: str, form: _Form) -> Any:
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (inner,) = (one for one in arguments if one is not types.NoneType)
        return _read(inner, value, where, form)
    if is_dataclass(kind):
        return _read_dataclass(kind, _typed(value, dict, where), where, form)
    if origin is tuple:
        items = _typed(value, list, where)
        return tuple(_read_items(arguments[0], items, where, form))
    if origin in (dict, Mapping):
        members = _typed(value, dict, where)
        return {key: _read(arguments[1], item, f"{where}.{key}", form) for key, item in members.items()}
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}, want {' or '.join(map(repr, arguments))}")
        return value
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value not in [member.value for member in kind]:
            raise ValueError(f"{where} is {value!r}, want {' or '.join(repr(member.value) for member in kind)}")
        return kind(value)
    if kind is datetime:
        try:
            return parse_timestamp(_typed(value, str, where))
        except ValueError:
            raise ValueError(f"{where} is {value!r}, want a time in RFC 3339") from None
    if kind is Decimal:
        try:
            return Decimal(_typed(value, str, where))
        except InvalidOperation:
            raise ValueError(f"{where} is {value!r}, want a decimal") from None
    if kind is Path:
        return Path(_typed(value, str, where))
    return _typed(value, kind, where)


def _read_items(kind: Any, items: list[Any], where: str, form: _Form) -> Iterator[Any]:
    for number, item in enumerate(items):
        try:
            yield _read(kind, item, f"{where}[{number}]", form)
        except ValueError as error:
            _note(error, form)


def _read_dataclass(kind: Any, value: dict[str, Any], where: str, form: _Form) -> Any:
    hints, known = _members(kind, form.api)
    unknown = sorted(value.keys() - known.keys())
    if unknown and not form.api:
        raise ValueError(f"{where} has no field {', '.join(unknown)}")
    needed = {name for name, one in known.items() if one.default is MISSING and one.default_factory is MISSING}
    read: dict[str, Any] = {}
    if missing := sorted(needed - value.keys()):
        error = ValueError(f"{where} lacks {', '.join(missing)}")
        read |= {known[name].name: _empty(hints[known[name].name], error, form) for name in missing}
        _note(error, form)
    for name, one in known.items():
        if name not in value:
            continue
        try:
            read[one.name] = _read(hints[one.name], value[name], f"{where}.{name}", form)
        except ValueError as error:
            if name in needed:
                read[one.name] = _empty(hints[one.name], error, form)
            _note(error, form)
    return kind(**read)


def _empty(kind: Any, error: ValueError, form: _Form) -> Any:
    """Returns the empty value of ``kind`` if the form permits one and there is one. Raises ``error`` otherwise."""
    empty = () if get_origin(kind) is tuple else _EMPTY.get(kind)
    if form.problems is None or empty is None:
        raise error
    return empty


def _note(error: ValueError, form: _Form) -> None:
    """Adds the message to those of the form. Raises ``error`` if the form has none."""
    if form.problems is None:
        raise error
    form.problems.append(str(error))


_EMPTY: Mapping[Any, Any] = {str: "", int: 0, datetime: datetime.fromtimestamp(0, UTC)}


@cache
def _members(kind: Any, api: bool) -> tuple[dict[str, Any], dict[str, Field[Any]]]:
    """Returns the types of the fields of ``kind`` by name, and the fields by their name in JSON."""
    return get_type_hints(kind), {camel_case(one.name) if api else one.name: one for one in fields(kind)}


def _typed(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} is {value!r}, want {_WORDS.get(kind, kind.__name__)}")
    return value


_WORDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number", bool: "true or false"}
