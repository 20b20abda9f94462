"""Recognises texts for users, who know neither Python nor the libraries below."""

import builtins
import re
from functools import cache
from typing import Final

_LIBRARY_CLASSES: Final = (
    *("BadZipFile", "LargeZipFile", "IncompleteRead", "RemoteDisconnected", "BadStatusLine", "InvalidURL"),
    *("HTTPConnection", "HTTPSConnection", "PoolManager", "TimeoutStateError", "InvalidChunkLength"),
    *("InvalidGraph", "InvalidProtobuf", "NoSuchFile", "InferenceSession", "ONNXRuntimeError", "SystemExit"),
    *("KeyboardInterrupt", "StopIteration", "NoneType", "PosixPath", "JSONDecoder", "ModelProto", "numpy.ndarray"),
)
_PATTERNS: Final = (
    r"Traceback|During handling of the above",
    r'File "[^"]+", line \d+',
    r"\bErrno\b|\berrno\b",
    r"<class |<function |<bound method | object at |<_io\.|\b0x[0-9a-f]{6,}",
    r"\b(INVALID_GRAPH|INVALID_ARGUMENT|INVALID_PROTOBUF|NO_SUCHFILE|NOT_IMPLEMENTED|RUNTIME_EXCEPTION|EP_FAIL)\b",
    r"onnxruntime_src|site-packages|dist-packages|\.(?:cc|cpp|py):\d+",
    r"\b(urllib3|msgspec|aiohttp|google\.protobuf|grpc\._|asyncio|uvicorn)\b",
    r"'(?:NoneType|dict|str|list|int|float|bytes|tuple|bool)'",
    r"\b(?:dict|list|str|tuple|set) (?:object|indices|has no)\b|has no attribute|not subscriptable|not iterable",
    r"invalid literal for|could not convert string|positional argument|unexpected keyword|unhashable|codec can't",
    r"dictionary update sequence|not enough values to unpack|too many values to unpack|must be str, not",
    r"embedded null|surrogates not allowed",
    r"\b[A-Za-z]*[a-z](?:Error|Exception|Warning)\b",
)


@cache
def _forbidden() -> re.Pattern[str]:
    classes = [
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException) and len(name) > 8
    ]
    words = "|".join(map(re.escape, sorted({*classes, *_LIBRARY_CLASSES})))
    return re.compile("|".join((*_PATTERNS, rf"\b(?:{words})\b")))


def words_of_a_programmer(text: str) -> list[str]:
    """Returns the parts of ``text`` that only a programmer would understand."""
    return [found[0] for found in _forbidden().finditer(text)]


def assert_speaks_to_a_user(text: str, about: object = "") -> None:
    """Fails on a text that is empty, or that holds a traceback, the name of an exception, an address or an errno.

    ``about`` is the input that led to it.
    """
    assert text.strip(), f"{about}: no message at all"
    assert not (found := words_of_a_programmer(text)), f"{about}: {found} in: {text[:1500]}"
