"""Regular expressions of Go (RE2), in which the API server's patterns are written, as those of Python."""

import re
from functools import cache
from typing import Final

_CLASSES: Final = {
    "[:space:]": r"\t\n\v\f\r ",
    "[:digit:]": "0-9",
    "[:alpha:]": "A-Za-z",
    "[:alnum:]": "0-9A-Za-z",
    "[:lower:]": "a-z",
    "[:upper:]": "A-Z",
}
_SPACE: Final = r"\t\n\f\r "
"""The characters of RE2's ``\\s``."""


@cache
def compile_go(pattern: str) -> re.Pattern[str]:
    r"""Returns ``pattern`` of RE2 for ``re.search``.

    They differ in ``$``, which in RE2 is the end of the text and not the place before a last line break, in ``\s``, and
    in the named classes of POSIX. Letters and digits are those of ASCII in both.
    """
    out, position, inside = [], 0, False
    while position < len(pattern):
        rest = pattern[position:]
        named = next((name for name in _CLASSES if inside and rest.startswith(name)), None)
        taken = named or (rest[:2] if rest[0] == "\\" else rest[0])
        if named:
            out.append(_CLASSES[named])
        elif taken == r"\s":
            out.append(_SPACE if inside else f"[{_SPACE}]")
        elif taken == r"\S":
            out.append(f"[^{_SPACE}]")
        elif taken == "$" and not inside:
            out.append(r"\Z")
        else:
            out.append(taken)
        if not named and taken in "[]":
            inside = taken == "["
        position += len(taken)
    return re.compile("".join(out), re.ASCII)
