"""Every failure of kubectl and of the operator during ``edgemodel push --namespace`` has a message and an exit code."""

import contextlib
import os
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemodel import kubectl
from tests.support.speaking import assert_speaks_to_a_user
from tests.unit.edge_cli.commands import run
from tests.unit.edge_compressor.conftest import Files

TOKEN = "printf abc.def"
HANGS = "exec sleep 5"


def fake_kubectl(folder: Path, monkeypatch: pytest.MonkeyPatch, token: str, forward: str = "exit 0") -> None:
    """Puts a kubectl on PATH that runs ``token`` for a token and ``forward`` to forward a port."""
    if "sleep" in token or forward.endswith("sleep 5"):
        monkeypatch.setattr(kubectl, "SECONDS", 0.2)
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\ncase "$1" in create) {token} ;; *) {forward} ;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def pushed(files: Files, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Returns the exit code and the message of a push."""
    code = run("push", files.model, "--namespace", "vision")
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert_speaks_to_a_user(said)
    return code, said


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        (HANGS, 4, "no answer within 0.2 s"),
        ("exit 0", 3, "printed no token"),
        (r"printf '\377\376\001'", 3, "printed no token"),
        ("echo two words", 3, "printed no token"),
        (r"printf '\377' >&2; exit 1", 3, "failed"),
        ("kill -9 $$", 3, "failed"),
    ],
)
def test_a_token_that_kubectl_does_not_make(
    perceptron: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str,
    code: int,
    words: str,
) -> None:
    fake_kubectl(tmp_path, monkeypatch, token)
    ended, said = pushed(perceptron, capsys)
    assert ended == code
    assert words in said


@pytest.mark.parametrize("kind", ["a folder", "no program"])
def test_a_kubectl_that_cannot_be_run(
    perceptron: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    if kind == "a folder":
        (tmp_path / "kubectl").mkdir()
    else:
        (tmp_path / "kubectl").write_bytes(b"\x7fELF")
        (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    ended, said = pushed(perceptron, capsys)
    assert ended == 3
    assert "kubectl cannot be run" in said


@pytest.mark.parametrize(
    ("forward", "code", "words"),
    [
        ("exec sleep 5", 4, "no answer within 0.2 s"),
        ("sleep 5", 4, "no answer within 0.2 s"),  # a child that outlives kubectl holds its pipes open
        ("printf half; exec sleep 5", 4, "no answer within 0.2 s"),
        ("exit 0", 3, "port-forward"),
        ("echo 'no pods' >&2; exit 1", 3, "no pods"),
        ("echo Forwarding from", 3, "Forwarding from"),
        ("echo Forwarding from 10.0.0.1:1 to", 3, "10.0.0.1"),
        (r"printf '\377\n'", 3, "port-forward"),
    ],
)
def test_a_port_that_kubectl_does_not_forward(
    perceptron: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    forward: str,
    code: int,
    words: str,
) -> None:
    fake_kubectl(tmp_path, monkeypatch, TOKEN, forward)
    ended, said = pushed(perceptron, capsys)
    assert ended == code
    assert words in said


@contextlib.contextmanager
def registry_and_operator(answer: bytes) -> Iterator[int]:
    """Yields the port of a server that asks for a bearer token at each path but /token, where it sends ``answer``."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            challenge = b'HTTP/1.1 401 no\r\nWWW-Authenticate: Bearer realm="http://x/token"\r\nContent-Length: 0\r\n'
            self.wfile.write(answer if b" /token" in path else challenge + b"Connection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def ok(body: bytes, *, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", 4),
        (b"\x16\x03\x01 no HTTP\r\n\r\n", 4),
        (b"HTTP/1.1 999999 what\r\n\r\n", 4),
        (ok(b"{}", length=99), 4),
        (b"HTTP/1.1 503 busy\r\nContent-Length: 0\r\n\r\n", 4),
        (b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n", 3),
        (ok(b"\xff\xfe{"), 3),
        (ok(b"[]"), 3),
        (ok(b"{}"), 3),
        (ok(b'{"token": 7}'), 3),
        (ok(b'{"token": "a\\r\\nb: c"}'), 3),
        (ok(b"[" * 100_000), 3),
    ],
)
def test_a_token_that_the_operator_does_not_make(
    perceptron: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: bytes,
    code: int,
) -> None:
    with registry_and_operator(answer) as port:
        fake_kubectl(tmp_path, monkeypatch, TOKEN, f"echo Forwarding from 127.0.0.1:{port} to; exec sleep 20")
        ended, said = pushed(perceptron, capsys)
    assert ended == code
    assert "the operator's token for the registry" in said
