"""Exceptions in the users' terms: errors of libraries are reported without class names."""

import builtins
import errno
import json
import os
import socket
import ssl
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import urllib3
import yaml
from google.protobuf.message import DecodeError
from urllib3.exceptions import HTTPError

from edge_oci.errors import Unreachable
from edgemodel.error_words import NOTHING_SAID, in_words, plain, printed
from edgemodel.errors import Stalled
from examples.lab.ports import free_port
from tests.support.speaking import words_of_a_programmer


def raised(act: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any
        act()
    return caught.value


def fetch(url: str) -> object:
    return urllib3.PoolManager(retries=False).request("GET", url, timeout=0.5)


def given(value: Any) -> Any:
    return value


def reading(text: str) -> Callable[[], object]:
    return lambda: json.loads(text)


LIBRARIES: dict[str, tuple[Callable[[], object], str]] = {
    "a missing file": (lambda: Path("/nowhere/x").read_text(), "/nowhere/x: there is no such file or folder"),
    "a folder": (lambda: Path("/tmp").read_text(), "/tmp: it is a folder, not a file"),
    "JSON": (reading("{"), "line 1, column 2: expecting property name enclosed in double quotes"),
    "deep JSON": (reading("[" * 100_000), "it is nested too deeply"),
    "UTF-16": (lambda: "größe".encode("utf-16").decode(), "it is UTF-16 text: save it as UTF-8"),
    "latin-1": (lambda: "größe".encode("latin-1").decode(), "it is not UTF-8 text, from byte 2 on"),
    "YAML": (lambda: yaml.safe_load("a: [1"), "line 1, column 6: expected ',' or ']', but got '<stream end>'"),
    "a control character in YAML": (lambda: yaml.safe_load("a: \x07"), "special characters are not allowed"),
    "a key": (lambda: {}["uri"], "uri is missing"),
    "an attribute": (lambda: given(None).get("x"), "nothing stands where an object is expected"),
    "a subscript": (lambda: given("text")["x"], "a text stands where an object is expected"),
    "an iteration": (lambda: list(given(5)), "a number stands where a list is expected"),
    "an argument": (lambda: int(given([])), "a value is of another type than is expected"),
    "a number": (lambda: int("seven"), "'seven' is not a whole number"),
    "a zip archive": (lambda: zipfile.ZipFile(__file__), "it is damaged, cut, or no zip archive"),
    "compressed data": (lambda: zlib.decompress(b"no"), "its compressed data are damaged"),
    "no address": (lambda: fetch("http://nowhere.invalid/"), ""),
    "a port that nobody has": (
        lambda: fetch(f"http://127.0.0.1:{free_port()}/"),
        "the connection is refused: nothing listens there",
    ),
    "a URL": (lambda: fetch("http://[::1"), "it is no address that can be asked (https://HOST/PATH)"),
    "a refused connection of urllib": (
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{free_port()}/"),
        "the connection is refused: nothing listens there",
    ),
    "msgspec": (lambda: msgspec.json.decode(b"{"), "Input data was truncated"),
    "a message of protobuf": (
        lambda: onnx.load_model_from_string(b"no"),
        "its data are damaged, cut, or of another format",
    ),
    "ONNX Runtime": (lambda: ort.InferenceSession(b"no"), "Failed to load model because protobuf parsing failed."),
    "numpy": (lambda: np.load(__file__), ""),
    "a package": (lambda: __import__("nowhere"), "the Python package 'nowhere' is not installed"),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_librarys_exception_is_reported_in_the_users_terms(name: str) -> None:
    act, words = LIBRARIES[name]
    said = in_words(raised(act))
    assert words_of_a_programmer(said) == []
    assert said.removesuffix(".").startswith(words.removesuffix("."))
    assert said
    assert "\n" not in said


def test_an_unknown_host_is_distinguished_from_an_unreachable_name_server() -> None:
    def no_address(number: int) -> BaseException:
        return raised(lambda: (_ for _ in ()).throw(socket.gaierror(number, "unknown")))

    assert "check its spelling" in in_words(no_address(socket.EAI_NONAME))
    assert "DNS" in in_words(no_address(socket.EAI_AGAIN))


def test_every_system_error_has_a_message() -> None:
    for number in errno.errorcode:
        said = in_words(OSError(number, os.strerror(number), "/a/file"))
        assert said.startswith("/a/file: "), number
        assert words_of_a_programmer(said) == []


def test_every_exception_of_python_has_a_message() -> None:
    kinds = [kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)]
    tried = 0
    for kind in kinds:
        for arguments in ((), ("",), (" ",), (f"{kind.__name__}: <class 'str'> at 0x7f12345678 [Errno 5] x",)):
            with suppress(TypeError):
                said = in_words(kind(*arguments))
                assert said
                assert words_of_a_programmer(said) == []
                tried += 1
    assert tried > 150


def test_an_untrusted_certificate_is_reported_with_the_reason() -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)")
    error.verify_message = "self-signed certificate"
    assert in_words(error) == "its certificate is not trusted here (self-signed certificate)"
    assert in_words(HTTPError(error)) == in_words(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model failed:Invalid input 'x'",
            "Load model failed:Invalid input 'x'",
        ),
        (
            "Exception during initialization: /onnxruntime_src/onnxruntime/core/optimizer/optimizer.cc:30 virtual "
            "onnxruntime::Status onnxruntime::A::B(const onnxruntime::Node&) const the axis is out of range",
            "the axis is out of range",
        ),
        ("mmap at <_io.BufferedReader object at 0x7f0012345678> fails", "mmap at BufferedReader fails"),
        ("a\nb", "a b"),
        ("a\x00b\x1b[2J", "a b [2J"),
        ('it failed\n  File "x.py", line 3, in f\n    g()', "it failed"),
        ("ValueError: wrong", "wrong"),
    ],
)
def test_the_message_of_a_library_loses_what_only_programmers_read(text: str, words: str) -> None:
    assert plain(text) == words


def test_our_own_messages_stay_as_they_are() -> None:
    long = "a message\n  of two lines: " + "x" * 1000
    assert in_words(Stalled("InvalidSpec", long)) == long
    assert in_words(Unreachable(long)) == long


def test_an_empty_answer_is_reported_and_a_long_one_is_cut() -> None:
    assert in_words(RuntimeError(" ")) == NOTHING_SAID
    assert in_words(DecodeError()) != NOTHING_SAID
    assert len(in_words(RuntimeError("x" * 1000))) == 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("error: no pods\n", "error: no pods"),
        ("\x1b[31merror:\x1b[0m one\r\n\ttwo\x07", "error: one two"),
        ("\x1b]0;title\x07error", "error"),
        (
            'E Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\nKeyError: 7\nno login',
            "7 no login",
        ),
        ("", ""),
    ],
)
def test_what_another_program_printed_is_one_line_without_stacks(text: str, words: str) -> None:
    assert printed(text) == words
    assert len(printed("x" * 1000 + text)) <= 500
