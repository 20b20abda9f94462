"""``edgemodel push --namespace``: whatever kubectl, the operator and the registry answer, a user reads a sentence."""

import base64
import contextlib
import io
import json
import os
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_cli import main
from edge_oci.transport import Patience
from tests.support.bad_input_runs import within
from tests.support.speaking import assert_speaks_to_a_user, words_of_a_programmer
from tests.support.tiers import examples

ACCOUNT_TOKEN: Final = "eyJ.service-account.hunter2"
REGISTRY_TOKEN: Final = "eyJ.registry.correct-horse"
LOGIN: Final = base64.b64encode(f"token:{ACCOUNT_TOKEN}".encode()).decode()
SECRETS: Final = (ACCOUNT_TOKEN, REGISTRY_TOKEN, LOGIN)
ECHO: Final = b"<what was asked>"
"""The part of an answer that a server replaces by the request, as proxies and debugging servers do."""
PORT: Final = b"<port>"
"""The part of kubectl's output that is replaced by the port of the server."""
MAX_SECONDS: Final = 20
KUBECTL: Final = """#!/bin/sh
folder=${0%/*}
case "$1 $*" in
create*) name=token ;;
*-operator*) name=operator ;;
*) name=registry ;;
esac
cat "$folder/$name.out"
cat "$folder/$name.err" >&2
[ -e "$folder/$name.stays" ] && exec sleep 60
exit "$(cat "$folder/$name.code")"
"""
PLUGIN: Final = b"""\
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/awscli/clidriver.py", line 460, in main
    return command_table[parsed_args.command](remaining, parsed_args)
KeyError: 'sso_session'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/usr/bin/aws", line 27, in <module>
    sys.exit(main())
botocore.exceptions.TokenRetrievalError: Error when retrieving token from sso: Token has expired
Unable to connect to the server: getting credentials: exec: executable aws failed with exit code 255
"""
SAID: Final = (
    b"",
    b"error: You must be logged in to the server (Unauthorized)\n",
    b'Error from server (Forbidden): serviceaccounts "default" is forbidden: User "jane" cannot create resource\n',
    b"Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout\n",
    b"\x1b[31merror:\x1b[0m unable to forward port because pod is not running. Current status=Pending\r\n",
    b"W1130 10:00:00.000000       1 warnings.go:70] deprecated\nerror: unknown flag: --audience\n",
    PLUGIN,
    b"\xff\xfe\x00\x01\x07\x1b]0;title\x07",
    b"E" * 20_000,
)
"""The errors of kubectl, and of the programs that it calls to log in."""


@dataclass(frozen=True)
class Answer:
    """The end of one call of kubectl: what it prints, and its exit code; None: it goes on."""

    out: bytes
    err: bytes = b""
    code: int | None = 0


@dataclass(frozen=True)
class Site:
    """The answers of everything that a push meets."""

    token: Answer = Answer(ACCOUNT_TOKEN.encode())
    registry: Answer = Answer(b"Forwarding from 127.0.0.1:<port> -> 5000\n", code=None)
    operator: Answer = Answer(b"Forwarding from 127.0.0.1:<port> -> 8082\n", code=None)
    from_operator: bytes = b'HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n{"token": "eyJ.registry.correct-horse"}    '
    from_registry: bytes = b"HTTP/1.1 500 no\r\n\r\n"


@dataclass
class Place:
    """A kubectl on PATH, and one server that is both operator and registry."""

    folder: Path
    port: int
    model: Path
    site: Site = field(default_factory=Site)

    def push(self, site: Site, *arguments: str) -> tuple[int, str, str]:
        """Returns the exit code, standard output and standard error."""
        self.site = site
        for name in ("token", "registry", "operator"):
            answer: Answer = getattr(site, name)
            (self.folder / f"{name}.out").write_bytes(answer.out.replace(PORT, str(self.port).encode()))
            (self.folder / f"{name}.err").write_bytes(answer.err)
            (self.folder / f"{name}.code").write_text(str(answer.code or 0))
            (self.folder / f"{name}.stays").unlink(missing_ok=True)
            if answer.code is None:
                (self.folder / f"{name}.stays").touch()
        out, err = io.StringIO(), io.StringIO()
        words = ["push", str(self.model), *(arguments or ("--namespace=vision",))]
        with within(MAX_SECONDS), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.main(words)
        return code, out.getvalue(), err.getvalue()

    def answer(self, request: bytes) -> bytes:
        path = request.partition(b"\r\n")[0]
        if b" /token?" in path:
            answer = self.site.from_operator
        elif request.startswith(b"HEAD"):  # whose answer has no body: the layers are not there yet
            answer = b"HTTP/1.1 404 no\r\n\r\n"
        elif b"authorization" in request.lower():
            answer = self.site.from_registry
        else:
            answer = b'HTTP/1.1 401 no\r\nWWW-Authenticate: Bearer realm="http://x/token"\r\nContent-Length: 0\r\n\r\n'
        return answer.replace(ECHO, request.replace(b"\r\n", b" "))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("site")
    kubectl, data = folder / "kubectl", folder / "data.npz"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    np.savez(data, x=np.zeros((2, 2), np.float32))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = []
            while (line := self.rfile.readline()).strip():
                lines.append(line)
            self.wfile.write(made.answer(b"".join(lines)))

    path = f"{folder}:{os.environ['PATH']}"
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the client has gone
        made = Place(folder, server.server_address[1], data)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with patch.dict(os.environ, {"PATH": path}), patch.object(Patience, "pause", lambda *_: None):
            yield made
        server.shutdown()


def check(ended: tuple[int, str, str], allowed: tuple[int, ...]) -> None:
    """Fails unless the user reads one sentence without a secret, and the exit code is one of ``allowed``."""
    code, out, err = ended
    assert code in allowed, (code, err)
    assert not any(secret in out + err for secret in SECRETS), err
    assert_speaks_to_a_user(err)
    line = err.removesuffix("\n")
    assert line.isprintable(), repr(line)
    assert len(line) < 4000
    assert out == ""


# The examples are the same in every run, so that a failure in CI fails on every machine.
generated = settings(
    max_examples=examples(250),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def noise(size: int) -> st.SearchStrategy[bytes]:
    """Returns what means nothing: hypothesis tries words of our sources as well, and those of a library would be
    shown as what kubectl or a registry said."""
    made = st.one_of(st.binary(max_size=size), st.text(max_size=size).map(str.encode))
    return made.filter(lambda data: not words_of_a_programmer(data.decode(errors="replace")))


said = st.one_of(st.sampled_from(SAID), noise(100))
with_a_secret = st.sampled_from(
    [
        b"Warning: use a bound token\n" + ACCOUNT_TOKEN.encode(),
        ACCOUNT_TOKEN.encode() + b"\n" + ACCOUNT_TOKEN.encode(),
        b'{"token": "' + ACCOUNT_TOKEN.encode() + b'" }',
        b"\xef\xbb\xbf" + ACCOUNT_TOKEN.encode(),
    ]
)
"""Output that holds the token, but is none."""
no_token = st.builds(
    Answer, st.one_of(with_a_secret, st.just(b""), said.map(lambda text: b"no token: \n" + text)), said
)
refusals = st.builds(Answer, said, said, st.integers(1, 255))
lines = st.one_of(
    said.map(lambda text: text + b"\n"),
    st.sampled_from(
        [
            b"Forwarding from 10.0.0.1:<port> -> 5000\n",
            b"Forwarding from [::1]:<port> -> 5000\n",
            b"Forwarding from 127.0.0.1: -> 5000\n",
            b"Forwarding from 127.0.0.1:0 -> 5000\n",
            b"Forwarding from 127.0.0.1:1 -> 5000\n",
            b"Forwarding from 127.0.0.1:65536 -> 5000\n",
            b"Forwarding from 127.0.0.1:99999 -> 5000\n",
            b"Forwarding from 127.0.0.1:00001 -> 5000\n",
        ]
    ),
)
forwards = st.one_of(refusals, st.builds(Answer, lines, said), st.builds(Answer, lines, st.just(b""), st.just(None)))
bodies = st.one_of(
    st.sampled_from(
        [
            b"",
            b"{}",
            b"[]",
            b"null",
            b'{"token": 7}',
            b'{"token": ""}',
            b'{"token": "a b"}',
            b'{"token": "a\\r\\nb: c"}',
            b'{"token": "\xc3\xa9"}',
            b'{"token": "\\ud800"}',
            b"[" * 5000,
            b"<html>" + ECHO + b"</html>",
            b'{"errors": [{"code": "DENIED", "message": "' + ECHO + b'"}]}',
            REGISTRY_TOKEN.encode(),
            PLUGIN,
        ]
    ),
    noise(100),
)
headers = st.lists(
    st.sampled_from(
        [
            b"Content-Type: application/json",
            b"Content-Length: 5",
            b"Content-Length: 99999999999999999999",
            b"Content-Length: -1",
            b"Content-Length: no",
            b"Transfer-Encoding: chunked",
            b"Content-Encoding: gzip",
            b"Location: http://user:pass@[::1/x",
            b"Location: ftp://127.0.0.1/x",
            b"Location: http://\xff.example./",
            b"Location: " + b"http://" + b"a" * 300 + b".example/",
            b"Location: /" + ECHO,
            b'WWW-Authenticate: Bearer realm="' + ECHO + b'"',
            b"WWW-Authenticate: Digest " + ECHO,
            b"X: " + b"y" * 70_000,
            b"no header",
            b"\xff\xfe: \xff",
        ]
    ),
    max_size=3,
)
statuses = st.sampled_from([100, 101, 200, 201, 202, 204, 206, 301, 302, 307, 308, 400, 401, 403, 404, 405, 418, 600])
busy = st.sampled_from([408, 425, 429, 500, 502, 503, 504])
answers = st.one_of(
    st.builds(
        lambda status, heads, body: b"\r\n".join([b"HTTP/1.1 %d " % status + b"what", *heads, b"", body]),
        st.one_of(statuses, busy),
        headers,
        bodies,
    ),
    noise(60),
    st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 99999 x\r\n\r\n", b"\x16\x03\x01\x02\x00", b"SSH-2.0-OpenSSH\r\n"]),
)


@pytest.mark.slow
@generated
@given(token=st.one_of(no_token, refusals))
def test_kubectl_makes_no_token(place: Place, token: Answer) -> None:
    check(place.push(Site(token=token)), (3, 4))


@pytest.mark.slow
@generated
@given(forward=forwards, operator=st.booleans())
@example(Answer(b"", PLUGIN, 1), False)
def test_kubectl_forwards_no_port(place: Place, forward: Answer, operator: bool) -> None:
    check(place.push(Site(operator=forward) if operator else Site(registry=forward)), (3, 4))


@pytest.mark.slow
@generated
@given(answer=answers)
@example(b"HTTP/1.1 301 moved\r\nLocation: http://user:pass@[::1/x\r\n\r\n")
@example(b"HTTP/1.1 308 moved\r\nLocation: http://\xff.example./\r\n\r\n")
def test_the_operator_answers_something_else(place: Place, answer: bytes) -> None:
    check(place.push(Site(from_operator=answer)), (3, 4))


@generated
@given(answer=answers)
@example(b"HTTP/1.1 403 no\r\n\r\n<html>" + ECHO + b"</html>")
@example(b"HTTP/1.1 403 no\r\n\r\n" + b"y" * 1900 + ECHO * 3)
def test_the_registry_answers_something_else(place: Place, answer: bytes) -> None:
    check(place.push(Site(from_registry=answer)), (3, 4))


names = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"[a-zA-Z0-9._/:@=-]{0,40}", fullmatch=True),
    st.sampled_from(
        ["", "a" * 254, "a:v1", f"a@sha256:{'0' * 64}", "../a", "a//b", "-x", "--kubeconfig=/x", "a\0b", "é", "a\nb"]
    ),
)


@pytest.mark.slow
@generated
@given(namespace=names, name=names, release=names, system=names)
@example("vision", "model:v1", "edgemodel", "edgemodel-system")
@example("vision", "model", "edge\0model", "edgemodel-system")
@example("vision", "model", "edgemodel", "edge\0model")
def test_names_that_no_registry_has(place: Place, namespace: str, name: str, release: str, system: str) -> None:
    given = (f"--namespace={namespace}", f"--name={name}", f"--release={release}", f"--release-namespace={system}")
    check(place.push(Site(), *given), (2, 3, 4))


def test_a_name_is_no_tag_and_no_digest(place: Place) -> None:
    for name in ("model:v1", f"model@sha256:{'0' * 64}"):
        code, _, err = place.push(Site(), "--namespace=vision", f"--name={name}")
        assert code == 2
        assert "--name" in err


def test_a_proxy_gets_no_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is reached on this machine's own address, whatever proxy leads to other machines."""
    asked: list[bytes] = []

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_address[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        ended = place.push(Site())
        server.shutdown()
    check(ended, (4,))
    assert "the registry answered 500" in ended[2]
    assert asked == []


def test_the_token_follows_no_redirect(place: Place) -> None:
    asked: list[bytes] = []

    class Elsewhere(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        location = f"Location: http://127.0.0.1:{server.server_address[1]}/token"
        ended = place.push(
            Site(from_operator=f"HTTP/1.1 302 there\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode())
        )
        server.shutdown()
    check(ended, (3,))
    assert asked == []


def test_the_site_of_these_tests_leads_to_the_registry(place: Place) -> None:
    assert json.loads(Site.from_operator.partition(b"\r\n\r\n")[2]) == {"token": REGISTRY_TOKEN}
    code, _, err = place.push(Site())
    assert (code, "the registry answered 500" in err) == (4, True)
