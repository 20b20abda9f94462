"""Requests in every legal form of HTTP, and forms that are damaged or cut off: each gets an answer, and the same one
from the fast path and without it.

The forms are generated from a fixed seed. A server never answers 500, never leaves a client waiting, and never closes a
connection on a request that it could still answer.
"""

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from tests.support.speaking import assert_speaks_to_a_user
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import DEADLINE_SECONDS, RunningServer, serving_process

NUMBER = 250
ROWS = artifacts.samples(2)
PATHS = (
    b"/v2/models/tiny/infer",
    b"/v2/models/%74iny/infer",
    b"/v2/models/t%69ny/versions/tiny-0123456789/infer",
    b"//v2/models/tiny/infer",
    b"/v2/models/tiny/infer?x=1&y",
    b"http://server.example/v2/models/tiny/infer",
)
OTHER_PATHS = (b"/v2/models/other/infer", b"/v2/models/%FF/infer", b"/v2/models//infer", b"/nowhere", b"*", b"/v2")


@dataclass(frozen=True)
class Form:
    """One request in one form, in the pieces in which it is sent."""

    head: bytes
    body: bytes
    pieces: tuple[int, ...]
    """The places at which the body is cut."""
    wanted: frozenset[int]
    """The statuses of which the answer has one."""
    closes: bool = False
    """True if the client sends no more, and the request is not whole."""
    bodiless: bool = False
    """True for HEAD, whose answers have no body."""
    rule: str = ""


@dataclass
class Answer:
    """The final answer to a request; header names are in lower case."""

    status: int
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


OK, REFUSED = frozenset({200}), frozenset({400, 404, 405, 411, 413, 415, 501})


def chunked(random: Random, body: bytes) -> bytes:
    """Returns the body in odd chunks: with extensions, sizes in either case and with leading zeros, and trailers."""
    made = []
    while body:
        size = random.choice((1, 2, 3, 7, 17, 100, len(body)))
        part, body = body[:size], body[size:]
        digits = random.choice((b"%x", b"%X", b"000%x")) % len(part)
        extension = random.choice((b"", b"", b";a", b";a=b", b';a="b c"'))
        made.append(digits + extension + b"\r\n" + part + b"\r\n")
    trailers = random.choice((b"", b"", b"X-Sum: 1\r\n", b"Expires: 0\r\nX: y\r\n"))
    return b"".join(made) + random.choice((b"0", b"00", b"0;last")) + b"\r\n" + trailers + b"\r\n"


def coded(random: Random, body: bytes) -> tuple[bytes, bytes]:
    """Returns (header, body) in a content coding."""
    coding = random.choice((b"", b"", b"", b"gzip", b"GZIP", b"x-gzip", b"deflate", b"identity"))
    if coding.lower().endswith(b"gzip"):
        return b"Content-Encoding: " + coding + b"\r\n", gzip.compress(body, mtime=0)
    if coding == b"deflate":
        return b"Content-Encoding: deflate\r\n", zlib.compress(body)
    return (b"Content-Encoding: " + coding + b"\r\n" if coding else b""), body


def payload(random: Random) -> tuple[bytes, bytes]:
    """Returns (header, body) of a valid request with JSON or binary data."""
    given: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [2, artifacts.FEATURES]}
    if random.random() < 0.5:
        text = json.dumps({"inputs": [{**given, "data": ROWS.tolist()}]}).encode()
        return random.choice((b"", b"Content-Type: application/json\r\n")), text
    raw = ROWS.tobytes()
    text = json.dumps({"inputs": [{**given, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    name = random.choice((b"Inference-Header-Content-Length", b"inference-header-content-length"))
    return name + b": %d\r\n" % len(text), text + raw


def form(random: Random) -> Form:
    header, body = payload(random)
    coding, body = coded(random, body)
    path, wanted, rule = random.choice(PATHS), OK, "valid"
    version, method = b"HTTP/1.1", b"POST"
    if random.random() < 0.15:
        path, wanted, rule = random.choice(OTHER_PATHS), REFUSED, "path"
    elif random.random() < 0.15:
        method, wanted, rule = random.choice((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE")), REFUSED, "method"
    old = random.random() < 0.15
    in_chunks = not old and random.random() < 0.5
    if old:
        version = b"HTTP/1.0"
    if in_chunks:
        body = chunked(random, body)
        length = random.choice((b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:CHUNKED\r\n"))
    else:
        length = random.choice((b"Content-Length: %d\r\n", b"content-length:%d\r\n", b"CONTENT-LENGTH: %d \r\n"))
        length %= len(body)
    closes = False
    damage = random.random()
    if damage < 0.1 and wanted is OK:
        cut = random.randrange(len(body) - 1)
        body, wanted, closes, rule = body[:cut], frozenset({400}), True, "cut off"
    elif damage < 0.25 and in_chunks and wanted is OK:
        body, wanted, rule = (
            random.choice((b"zz\r\n", b"-1\r\n", b"\r\n", b"g\r\n", b"5\r\nabc")) + body,
            REFUSED,
            "chunk",
        )
        closes = True
    expect = b"Expect: 100-continue\r\n" if random.random() < 0.1 and not old else b""
    host = b"" if old and random.random() < 0.5 else random.choice((b"Host: x\r\n", b"HOST:x:1\r\n"))
    lines = [line for line in (host, header, coding, length, expect, random.choice((b"", b"Accept: */*\r\n"))) if line]
    random.shuffle(lines)
    head = b"%s %s %s\r\n%s\r\n" % (method, path, version, b"".join(lines))
    pieces = tuple(sorted(random.sample(range(len(body)), min(len(body), random.choice((0, 0, 1, 5))))))
    return Form(head, body, pieces, wanted, closes, method == b"HEAD", rule)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningServer]]:
    directory = artifacts.write_mlp(tmp_path_factory.mktemp("mlp"))
    with serving_process(directory) as fast, serving_process(directory, "--disable-fast-path") as slow:
        yield {"fast path": fast, "without fast path": slow}


def send(connection: socket.socket, form: Form) -> None:
    connection.sendall(form.head)
    for begin, end in zip((0, *form.pieces), (*form.pieces, len(form.body)), strict=True):
        connection.sendall(form.body[begin:end])


def read(stream: Any, *, bodiless: bool) -> Answer | None:
    """Returns the next final answer; None if the connection ends without one."""
    while start := stream.readline():
        headers = {}
        for line in iter(stream.readline, b"\r\n"):
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        status = int(start.split()[1])
        if status != 100:
            size = 0 if bodiless else int(headers.get(b"content-length", b"0"))
            return Answer(status, headers, stream.read(size))
    return None


def exchange(server: RunningServer, form: Form) -> Answer | None:
    """Returns the answer to a request on a connection of its own, followed by one that is valid where the first is
    whole and the connection goes on."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_SECONDS) as connection:
        try:
            send(connection, form)
            if form.closes:
                connection.shutdown(socket.SHUT_WR)
        except OSError:  # the server has closed the connection
            pass  # it is answered before it has been read
        with connection.makefile("rb") as stream:
            answer = read(stream, bodiless=form.bodiless)
            closed = answer is None or answer.headers.get(b"connection", b"").lower() == b"close"
            if not form.closes and not closed and b"HTTP/1.1" in form.head:
                connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                after = read(stream, bodiless=False)
                assert after is not None, form
                assert after.status == 200, (form, after)
            return answer


def test_every_form_of_a_request_is_answered_and_alike_with_and_without_the_fast_path(
    servers: dict[str, RunningServer],
) -> None:
    random = Random("transport")
    rules: dict[str, int] = {}
    valid = None
    for _ in range(NUMBER):
        made = form(random)
        fast, slow = (exchange(server, made) for server in servers.values())
        told = (made, fast, slow)
        rules[made.rule] = rules.get(made.rule, 0) + 1
        assert fast is not None, told
        assert slow is not None, told
        assert (fast.status, fast.body) == (slow.status, slow.body), told
        assert fast.status in made.wanted, told
        if fast.status == 200 and b"octet" not in fast.headers.get(b"content-type", b""):
            valid = valid or fast.body
            assert fast.body == valid, told
        if fast.status != 200 and not made.bodiless:
            assert_speaks_to_a_user(json.loads(fast.body)["error"], told)
    assert min(rules.values()) >= 5, rules
    for server in servers.values():
        assert server.process.poll() is None


def test_pipelined_forms_are_answered_in_their_order(servers: dict[str, RunningServer]) -> None:
    random = Random("pipeline")
    forms = [made for made in (form(random) for _ in range(200)) if made.wanted is OK and not made.closes]
    whole = [made for made in forms if b"HTTP/1.1" in made.head and b"Expect" not in made.head][:24]
    for server in servers.values():
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_SECONDS) as connection:
            connection.sendall(b"".join(made.head + made.body for made in whole))
            with connection.makefile("rb") as stream:
                answers = [read(stream, bodiless=False) for _ in whole]
        assert [answer.status if answer is not None else None for answer in answers] == [200] * len(whole)
