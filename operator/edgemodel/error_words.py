"""The only place that turns an exception into a message for a user.

A user wrote a manifest, a file or a command line, and knows neither Python nor the libraries that read it. So a message
never holds the name of an exception's class, the address of an object, an error number or a place in source code. Our
own exceptions have such messages already. Those of libraries are known here by name, so that this module imports the
standard library alone; the text of any other is used without the parts that only programmers read.

Callers say what was being done and what to change; ``in_words`` says what is wrong.
"""

import errno
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Final

MAX_LENGTH: Final = 500
"""Characters of a library's own words."""

NOTHING_SAID: Final = "no cause is told"


def in_words(error: BaseException, max_length: int = MAX_LENGTH) -> str:
    """Returns what is wrong, in words for users.

    The message of our own exception is returned unchanged; any other is one line of at most ``max_length`` characters.
    """
    for kind in type(error).__mro__:
        if kind.__module__.partition(".")[0] in _OURS:
            return str(getattr(error, "message", error)) or NOTHING_SAID
        say = _BY_TYPE.get(kind) or _BY_NAME.get(f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
        if say is not None and (said := say(error)):
            return said[:max_length]
    return plain(str(error))[:max_length] or NOTHING_SAID


def plain(text: str) -> str:
    """Returns ``text`` of a library on one line, without names of classes, addresses, places in source code and control
    characters, which could rule a terminal."""
    for pattern, instead in _NOISE:
        text = pattern.sub(instead, text)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split()).strip(" :;,-")


def printed(text: str, max_length: int = MAX_LENGTH) -> str:
    """Returns the end of what another program printed for its user, on one line of at most ``max_length`` characters.

    It is without colours, control characters and the stack of a Python program, such as a plugin that logs in.
    """
    for pattern in _STACK:
        text = pattern.sub("", text)
    return plain(text)[-max_length:]


_STACK: Final = (
    re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)"),
    re.compile(r"^.*Traceback \(most recent call last\):\n(?:[ \t].*\n?)*", re.MULTILINE),
    re.compile(r"^(?:During handling of the above|The above) exception.*$", re.MULTILINE),
)
"""Escape sequences of terminals, and the lines of a stack but its last, which names the cause."""
_OURS: Final = frozenset(
    {"edgemodel", "edge_cli", "edge_compressor", "edge_oci", "edge_operator", "edge_runtime", "inference_server"}
)

_SIGNATURE: Final = r"[\w:<>, *&]+\([^()]*\)(?: const)?"
"""A function of C++, as its libraries name the place of an error."""

_NOISE: Final = tuple(
    (re.compile(pattern, flags), instead)
    for pattern, flags, instead in (
        (r"Traceback \(most recent call last\):.*", re.DOTALL, ""),
        (r"\n\s*File \"[^\"]+\", line \d+.*", re.DOTALL, ""),
        (r"\n\s*(\*+\s*\n|frame #0|==> Context:|Stacktrace:|Exception raised from ).*", re.DOTALL, ""),
        (r"\[ONNXRuntimeError\] : \d+ : \w+ : ", 0, ""),
        (rf"[\w./-]*/[\w.-]+\.(?:cc|cpp|cu|h|hpp|c|py)(?::\d+)?(?:,? in \w+)?(?:\s{_SIGNATURE})?:?", 0, ""),
        (r"\b[A-Za-z_][\w:<>, *&]*::[\w:]+\([^()]*\)(?: \[with [^]]*\])?(?: const)?", 0, ""),
        (r"\[Errno -?\d+\] ", 0, ""),
        (r"\[SSL: \w+\] |\(_ssl\.c:\d+\)", 0, ""),
        (r"<class '(?:[\w.]*\.)?(\w+)'>", 0, r"\1"),
        (r"<(?:[\w.]*\.)?(\w+) object at 0x[0-9a-fA-F]+>", 0, r"\1"),
        (r"<(?:function|bound method|built-in function) ([\w.]+)[^>]*>", 0, r"\1"),
        (r"\b0x[0-9a-fA-F]{6,}\b", 0, ""),
        (r"\bException during initialization: ", 0, ""),
        (
            r"\b(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Iteration|Exit)|Exception)\b(?:\([^()]*\))?:?",
            0,
            "",
        ),
    )
)


def _system(error: BaseException) -> str:
    """Returns the message for a system error, with the file that it concerns."""
    assert isinstance(error, OSError)
    said = _BY_NUMBER.get(error.errno or 0) or plain(error.strerror or "").lower()
    if not said:
        return plain(str(error))
    return f"{error.filename}: {said}" if isinstance(error.filename, str) and error.filename else said


_BY_NUMBER: Final[Mapping[int, str]] = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "reading or writing it is not permitted",
    errno.EPERM: "the system does not permit it",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.ENOTEMPTY: "the folder is not empty",
    errno.EEXIST: "it is there already",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "it lies on a disk that is read-only",
    errno.EFBIG: "the file would be too large",
    errno.EMFILE: "too many files are open",
    errno.ENXIO: "it is a pipe or socket that nobody serves",
    errno.ENODEV: "it is no file that can be mapped",
    errno.EIO: "the disk fails to read or write it",
    errno.EXDEV: "it lies on another disk",
    errno.ETXTBSY: "a program is running from it",
    errno.ENOEXEC: "it is no program that this machine can run",
    errno.ECONNREFUSED: "the connection is refused: nothing listens there",
    errno.ECONNRESET: "the other side broke the connection off",
    errno.ECONNABORTED: "the other side broke the connection off",
    errno.EPIPE: "the other side broke the connection off",
    errno.ETIMEDOUT: "no answer before the timeout",
    errno.EHOSTUNREACH: "no way leads to that machine",
    errno.ENETUNREACH: "no way leads to that network",
    errno.EADDRINUSE: "another program has that port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


_TRY_AGAIN: Final = -3
"""The value of ``socket.EAI_AGAIN``; this module does not import socket, because decisions import it."""


def _resolver(error: BaseException) -> str:
    if getattr(error, "errno", None) == _TRY_AGAIN:
        return "the name server does not answer: check the name and this machine's DNS"
    return "no address is known for that name: check its spelling"


def _tls(error: BaseException) -> str:
    """Returns the message for a failure of TLS, with the fault of the certificate."""
    reason = getattr(error, "reason", None) or ""
    if (distrust := getattr(error, "verify_message", None)) is not None:
        return f"its certificate is not trusted here ({plain(distrust)})"
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "it does not speak TLS"
    if isinstance(reason, str) and reason:
        return f"TLS fails ({reason.replace('_', ' ').lower()})"
    return f"TLS fails ({plain(str(error))})"


def _not_text(error: BaseException) -> str:
    assert isinstance(error, UnicodeDecodeError)
    if error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is UTF-16 text: save it as UTF-8"
    return f"it is not {error.encoding.upper()} text, from byte {error.start} on"


def _not_json(error: BaseException) -> str:
    assert isinstance(error, json.JSONDecodeError)
    return f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"


def _missing(error: BaseException) -> str:
    name = plain(str(error.args[0])) if error.args else ""
    return f"{name or 'something'} is missing"


_KINDS: Final = {
    "NoneType": "nothing",
    "str": "a text",
    "bytes": "bytes",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object",
}
_WANTED: Final = {
    **dict.fromkeys(("get", "items", "keys", "values", "pop", "setdefault"), "an object"),
    **dict.fromkeys(("append", "extend", "sort"), "a list"),
    **dict.fromkeys(("strip", "split", "encode", "partition", "startswith", "removeprefix", "lower"), "a text"),
}


def _other_type(error: BaseException) -> str:
    """Returns the message for a value of another type than expected."""
    text = str(error)
    if text.startswith("module "):
        return ""
    if found := re.search(r"'(\w+)' object has no attribute '(\w+)'", text):
        wanted = _WANTED.get(found[2], "something else")
        return f"{_KINDS.get(found[1], 'something')} stands where {wanted} is expected"
    if found := re.match(r"(string|list|byte|tuple) indices must be", text):
        given = {"string": "a text", "byte": "bytes"}.get(found[1], "a list")
        return f"{given} stands where an object is expected"
    if found := re.search(r"'(\w+)' object is not (subscriptable|iterable|a mapping)", text):
        wanted = {"iterable": "a list", "a mapping": "an object"}.get(found[2], "an object or a list")
        return f"{_KINDS.get(found[1], 'something')} stands where {wanted} is expected"
    if re.search(r"'\w+'|argument|unhashable|\bNone\b|\bstr\b|\bint\b|\bdict\b", text):
        return "a value is of another type than is expected"
    return ""


def _too_few(error: BaseException) -> str:
    return "a list is shorter than is expected" if "index out of range" in str(error) else ""


def _not_a_value(error: BaseException) -> str:
    """Returns the message for a text that is not a number or time."""
    text = str(error)
    for pattern, words in _VALUES:
        if found := pattern.search(text):
            return words.format(*found.groups())
    return ""


_VALUES: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"invalid literal for int\(\) with base \d+: ('.*')", "{0} is not a whole number"),
        (r"could not convert string to float: ('.*')", "{0} is not a number"),
        (r"Invalid isoformat string: ('.*')", "{0} is not a time (2026-01-31T12:00:00Z)"),
        (r"embedded null (?:byte|character)", "it holds a zero byte"),
        (r"(?:not enough|too many) values to unpack", "it has another number of parts than is expected"),
        (r"dictionary update sequence", "an object is expected there"),
        (r"cannot convert float (?:NaN|infinity)", "it is not a finite number"),
        (r"Exceeds the limit \(\d+ digits\)", "the number has too many digits"),
        (r"^fromisoformat: ", "a text with a time is expected there"),
    )
)


def _not_yaml(error: BaseException) -> str:
    """Returns the message of the YAML parser, with line and column counted from 1."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    said = plain(problem or getattr(error, "reason", "") or str(error))
    if mark is None:
        return said
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}"


def _cause(error: BaseException) -> str:
    """Returns the message of the cause of a network library's error, which says more than its own."""
    for cause in (
        getattr(error, "reason", None),
        getattr(error, "os_error", None),
        *reversed(error.args),
        error.__cause__,
        error.__context__,
    ):
        if isinstance(cause, BaseException) and cause is not error:
            return in_words(cause)
    return ""


def _cut(error: BaseException) -> str:
    have, missing = getattr(error, "partial", None), getattr(error, "expected", None)
    have = len(have) if isinstance(have, bytes) else have
    if isinstance(have, int) and isinstance(missing, int):
        return f"the answer was cut after {have} bytes, {missing} more were announced"
    return "the answer was cut"


def _always(text: str) -> Callable[[BaseException], str]:
    return lambda _: text


_BROKEN_OFF: Final = "the other side broke the connection off"
_NOT_HTTP: Final = "the answer is not HTTP as it should be"

_BY_TYPE: Final[Mapping[type, Callable[[BaseException], str]]] = {
    KeyError: _missing,
    IndexError: _too_few,
    AttributeError: _other_type,
    TypeError: lambda error: _not_a_value(error) or _other_type(error),
    OverflowError: _always("a number is out of range"),
    ZeroDivisionError: _always("a number is 0 that must not be"),
    json.JSONDecodeError: _not_json,
    UnicodeDecodeError: _not_text,
    UnicodeEncodeError: _always("it holds characters that cannot be written as UTF-8"),
    RecursionError: _always("it is nested too deeply"),
    MemoryError: _always("there is not enough memory for it"),
    EOFError: _always("it ends too early"),
    zlib.error: _always("its compressed data are damaged"),
    zipfile.BadZipFile: _always("it is damaged, cut, or no zip archive"),
    tarfile.TarError: _always("it is damaged, cut, or no tar archive"),
    ModuleNotFoundError: lambda error: f"the Python package {getattr(error, 'name', None)!r} is not installed",
    TimeoutError: lambda error: _system(error) if getattr(error, "errno", None) else "no answer before the timeout",
    OSError: _system,
    ValueError: _not_a_value,
}

_BY_NAME: Final[Mapping[str, Callable[[BaseException], str]]] = {
    "socket.gaierror": _resolver,
    "ssl.SSLEOFError": _always(_BROKEN_OFF),
    "ssl.SSLZeroReturnError": _always(_BROKEN_OFF),
    "ssl.SSLError": _tls,
    "yaml.YAMLError": _not_yaml,
    "http.RemoteDisconnected": _always(_BROKEN_OFF),
    "http.IncompleteRead": _cut,
    "http.HTTPException": _always(_NOT_HTTP),
    "urllib3.IncompleteRead": _cut,
    "urllib3.InvalidChunkLength": _always("the answer was cut"),
    "urllib3.NewConnectionError": _cause,
    "urllib3.NameResolutionError": _cause,
    "urllib3.ConnectTimeoutError": _always("no connection in time"),
    "urllib3.ReadTimeoutError": _always("the answer stopped, and nothing more came in time"),
    "urllib3.TimeoutError": _always("no answer before the timeout"),
    "urllib3.ProtocolError": lambda error: _cause(error) or _BROKEN_OFF,
    "urllib3.DecodeError": _always("the answer's compressed data are damaged"),
    "urllib3.LocationParseError": _always("it is no address that can be asked (https://HOST/PATH)"),
    "urllib3.LocationValueError": _always("it is no address that can be asked (https://HOST/PATH)"),
    "urllib3.SSLError": _cause,
    "urllib3.MaxRetryError": _cause,
    "urllib3.HTTPError": lambda error: _cause(error) or _NOT_HTTP,
    "urllib.URLError": _cause,
    "aiohttp.ServerTimeoutError": _always("no answer before the timeout"),
    "aiohttp.ServerDisconnectedError": _always(_BROKEN_OFF),
    "aiohttp.ClientPayloadError": _always("the answer was cut"),
    "aiohttp.ContentTypeError": _always("the answer is not JSON"),
    "aiohttp.InvalidURL": _always("it is no address that can be asked (https://HOST/PATH)"),
    "aiohttp.ClientConnectorError": _cause,
    "aiohttp.ClientError": lambda error: _cause(error) or _NOT_HTTP,
    "zstandard.ZstdError": _always("its compressed data are damaged"),
    "google.DecodeError": _always("its data are damaged, cut, or of another format"),
    "tokenize.TokenError": _always("its head is damaged"),
}
"""The explanations by the package and the name of the exception's class."""
