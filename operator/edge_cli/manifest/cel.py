"""The rules of the CRDs (``x-kubernetes-validations``): an interpreter of the part of CEL that they use.

CEL is the Common Expression Language, in which the API server evaluates such rules. The Python libraries for it lack
the functions that Kubernetes adds, such as ``quantity``. Values are those of JSON; maps and objects are dictionaries. A
rule that cannot be evaluated is an error, which the API server refuses like a rule that is false.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final

from edge_cli.manifest.go_regex import compile_go
from edgemodel.error_words import in_words

Scope = Mapping[str, Any]
"""The variables of a rule."""
Expression = Callable[[Scope], Any]


class CelError(Exception):
    """The rule cannot be parsed, or evaluated for this value."""


@cache
def parse_rule(text: str) -> Callable[[Scope], bool]:
    """Returns the rule ``text`` as a function of its variables, which raises CelError if it cannot be evaluated.

    Raises CelError if the rule uses another part of CEL.
    """
    parser = _Parser(text)
    rule = parser.expression()
    parser.expect("")

    def evaluate(scope: Scope) -> bool:
        try:
            return _truth(rule(scope))
        except TypeError as error:
            raise CelError(f"{text}: {in_words(error)}") from error

    return evaluate


_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]])|(?P<end>$))"
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_RELATIONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_SUFFIXES: Final = {
    **{
        suffix: Decimal(1000) ** power
        for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
_QUANTITY: Final = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]+|[a-zA-Z]*)")


@dataclass(frozen=True)
class _Type:
    """A type as a value: ``type(self) == int``."""

    name: str


class _Parser:
    """Recursive descent; each method reads one level of precedence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0

    def expression(self) -> Expression:
        condition = self._any_of()
        if not self._takes("?"):
            return condition
        yes = self._any_of()
        self.expect(":")
        no = self.expression()
        return lambda scope: yes(scope) if _truth(condition(scope)) else no(scope)

    def expect(self, sign: str) -> None:
        """Reads ``sign``; the empty one is the end. Raises CelError if something else follows."""
        if not self._takes(sign):
            raise CelError(f"{self._text!r}: want {sign or 'the end'!r}, found {self._tokens[self._at][1]!r}")

    def _any_of(self) -> Expression:
        parts = [self._all_of()]
        while self._takes("||"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else lambda scope: _decided(parts, scope, True)

    def _all_of(self) -> Expression:
        parts = [self._relation()]
        while self._takes("&&"):
            parts.append(self._relation())
        return parts[0] if len(parts) == 1 else lambda scope: _decided(parts, scope, False)

    def _relation(self) -> Expression:
        left = self._sum()
        for sign, compare in _RELATIONS.items():
            if self._takes(sign):
                right = self._sum()
                return lambda scope: _compared(compare, sign, left(scope), right(scope))
        if self._takes("in"):
            right = self._sum()
            return lambda scope: left(scope) in right(scope)
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while sign := next((sign for sign in "+-" if self._takes(sign)), None):
            left = _calculated(operator.add if sign == "+" else operator.sub, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while self._takes("*"):
            left = _calculated(operator.mul, left, self._unary())
        return left

    def _unary(self) -> Expression:
        if self._takes("!"):
            inner = self._unary()
            return lambda scope: not _truth(inner(scope))
        if self._takes("-"):
            inner = self._unary()
            return lambda scope: -inner(scope)
        return self._member()

    def _member(self) -> Expression:
        value = self._primary()
        while True:
            if self._takes("."):
                name = self._name()
                value = self._call(value, name) if self._takes("(") else _Field(value, name)
            elif self._takes("["):
                index = self.expression()
                self.expect("]")
                value = _indexed(value, index)
            else:
                return value

    def _primary(self) -> Expression:
        kind, token = self._tokens[self._at]
        if self._takes("("):
            inner = self.expression()
            self.expect(")")
            return inner
        if self._takes("["):
            items = self._list("]")
            return lambda scope: [item(scope) for item in items]
        self._at += 1
        if kind == "number":
            number = float(token) if "." in token else int(token)
            return lambda _: number
        if kind == "text":
            text = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token[1:-1])
            return lambda _: text
        if kind == "name" and self._takes("("):
            return self._function(token)
        if kind == "name":
            return _variable(token)
        raise CelError(f"{self._text!r}: {token!r} is not expected")

    def _function(self, name: str) -> Expression:
        if name == "has":
            return self._has()
        (argument,) = self._list(")")
        if name not in _FUNCTIONS:
            raise CelError(f"{self._text!r}: the function {name} is not known")
        function = _FUNCTIONS[name]
        return lambda scope: function(argument(scope))

    def _has(self) -> Expression:
        """Reads ``path.to.field)`` and returns an expression that says whether the last field exists."""
        chosen = self._member()
        self.expect(")")
        if not isinstance(chosen, _Field):
            raise CelError(f"{self._text!r}: has() takes a field")
        return lambda scope: chosen.name in _mapping(chosen.owner(scope))

    def _call(self, value: Expression, name: str) -> Expression:
        if name in ("all", "exists"):
            variable = self._name()
            self.expect(",")
            body = self.expression()
            self.expect(")")
            decides = name == "exists"
            return lambda scope: _over(value(scope), variable, body, scope, decides)
        arguments = self._list(")")
        if name not in _METHODS:
            raise CelError(f"{self._text!r}: the method {name} is not known")
        method = _METHODS[name]
        return lambda scope: method(value(scope), *(argument(scope) for argument in arguments))

    def _list(self, end: str) -> list[Expression]:
        items: list[Expression] = []
        while not self._takes(end):
            if items:
                self.expect(",")
            items.append(self.expression())
        return items

    def _name(self) -> str:
        kind, token = self._tokens[self._at]
        if kind != "name":
            raise CelError(f"{self._text!r}: want a name, found {token!r}")
        self._at += 1
        return token

    def _takes(self, sign: str) -> bool:
        kind, token = self._tokens[self._at]
        if token != sign or kind == "text":
            return False
        self._at += 1
        return True


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position, kind = 0, ""
    while kind != "end":
        found = _TOKEN.match(text, position)
        if found is None:
            raise CelError(f"{text!r}: {text[position:].strip()[:1]!r} is not expected")
        kind = str(found.lastgroup)
        yield kind, found[kind]
        position = found.end()


def _variable(name: str) -> Expression:
    if name in _CONSTANTS:
        constant = _CONSTANTS[name]
        return lambda _: constant
    if name in _TYPE_NAMES:
        named = _Type(name)
        return lambda _: named

    def read(scope: Scope) -> Any:
        if name not in scope:
            raise CelError(f"the variable {name} is not known")
        return scope[name]

    return read


@dataclass(frozen=True)
class _Field:
    """The field ``name`` of the value of ``owner``."""

    owner: Expression
    name: str

    def __call__(self, scope: Scope) -> Any:
        owner = _mapping(self.owner(scope))
        if self.name not in owner:
            raise CelError(f"no such key: {self.name}")
        return owner[self.name]


def _indexed(value: Expression, index: Expression) -> Expression:
    def read(scope: Scope) -> Any:
        owner, key = value(scope), index(scope)
        if isinstance(owner, list) and not 0 <= key < len(owner):
            raise CelError(f"index out of bounds: {key}")
        if not isinstance(owner, list) and key not in _mapping(owner):
            raise CelError(f"no such key: {key}")
        return owner[key]

    return read


def _calculated(act: Callable[[Any, Any], Any], left: Expression, right: Expression) -> Expression:
    return lambda scope: act(left(scope), right(scope))


def _compared(compare: Callable[[Any, Any], bool], sign: str, left: Any, right: Any) -> bool:
    if sign in ("==", "!=") and isinstance(left, bool) != isinstance(right, bool):
        return sign == "!="
    try:
        return compare(left, right)
    except TypeError as error:
        raise CelError(f"{left!r} {sign} {right!r} cannot be compared") from error


def _decided(parts: list[Expression], scope: Scope, decides: bool) -> bool:
    """Returns ``decides`` if one part has that value, whatever the others are, including errors; otherwise its
    opposite."""
    failed: CelError | None = None
    for part in parts:
        try:
            if _truth(part(scope)) is decides:
                return decides
        except CelError as error:
            failed = failed or error
    if failed:
        raise failed
    return not decides


def _over(values: Any, variable: str, body: Expression, scope: Scope, decides: bool) -> bool:
    """Returns the value of ``all`` (``decides`` False) or ``exists`` (True) over a list, or over the keys of a map."""

    def of(value: Any) -> Expression:
        return lambda outer: body({**outer, variable: value})

    return _decided([of(value) for value in values], scope, decides)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError(f"{value!r} is neither true nor false")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CelError(f"{value!r} has no fields")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CelError(f"{value!r} is no string")
    return value


def _double(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CelError(f"{value!r} is no number") from error


def _quantity(value: Any) -> Decimal:
    """Returns a quantity of Kubernetes, such as ``500m`` or ``1Gi``, as a number."""
    found = _QUANTITY.fullmatch(_text(value))
    try:
        if found and found[2] in _SUFFIXES:
            return Decimal(found[1]) * _SUFFIXES[found[2]]
        if found:
            return Decimal(found[1] + found[2])
    except InvalidOperation:
        pass
    raise CelError(f"{value!r} is no quantity")


def _type_of(value: Any) -> _Type:
    names = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map"}
    return _Type(names.get(type(value), "null_type"))


def _string(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_TYPE_NAMES: Final = frozenset({"bool", "int", "double", "string", "list", "map"})
_FUNCTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "double": _double,
    "quantity": _quantity,
    "size": len,
    "string": _string,
    "type": _type_of,
}
_METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "compareTo": lambda one, other: (one > other) - (one < other),
    "contains": lambda text, part: _text(part) in _text(text),
    "endsWith": lambda text, end: _text(text).endswith(end),
    "matches": lambda text, pattern: compile_go(pattern).search(_text(text)) is not None,
    "size": len,
    "startsWith": lambda text, start: _text(text).startswith(start),
}
