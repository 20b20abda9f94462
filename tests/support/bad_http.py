"""A server on loopback that gives wrong answers of every kind that servers and networks have given."""

import gzip
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from edgemodel.digest import digest_of
from tests.support.bad_input import damaged, mutated

Say = Callable[[socket.socket], None]
"""A function that answers one request on its connection, which is closed afterwards."""


def says(data: bytes) -> Say:
    """Returns a behaviour that sends ``data``."""
    return lambda connection: connection.sendall(data)


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Returns the bytes of an HTTP answer; ``_`` in the names of headers stands for ``-``."""
    fields = {"Content-Length": str(len(body)), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


def _resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _stops(data: bytes) -> Say:
    def say(connection: socket.socket) -> None:
        connection.sendall(data)
        with suppress(OSError):
            connection.recv(1)  # until the client gives up

    return say


def bad_answers(good: bytes) -> Iterator[tuple[str, Say]]:
    """Yields bad answers in place of the file ``good``: (name, function that sends it)."""
    yield "nothing", says(b"")
    yield "reset", _resets
    yield "garbage", says(b"\x00\xff\x13garbage\r\n\r\n")
    yield "another protocol", says(b"SSH-2.0-OpenSSH_9.2\r\n")
    yield "a TLS alert", says(b"\x15\x03\x01\x00\x02\x02\x46")
    yield "half a head", says(b"HTTP/1.1 200 OK\r\nContent-Le")
    yield "no status", says(b"HTTP/1.1\r\n\r\n")
    yield "a status that is no number", says(b"HTTP/1.1 abc OK\r\n\r\n")
    yield "a head without end", says(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000)
    yield "a thousand headers", says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n")
    yield "headers in latin-1", says(answer("200 OK", good[:10], ETag="\xe4\xf6"))
    yield "a length that is no number", says(answer("200 OK", good, Content_Length="many"))
    yield "a negative length", says(answer("200 OK", good, Content_Length="-5"))
    yield "two lengths", says(answer("200 OK", good, Content_Length="5, 6"))
    yield "a longer length", says(answer("200 OK", good, Content_Length=str(len(good) + 1000)))
    yield "a huge length", says(answer("200 OK", good, Content_Length=str(2**62)))
    yield "broken chunks", says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n")
    yield "cut chunks", says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc")
    yield "damaged gzip", says(answer("200 OK", gzip.compress(good)[:50] + b"xx", Content_Encoding="gzip"))
    yield "an unknown coding", says(answer("200 OK", good, Content_Encoding="zstd, br, x"))
    yield "a page", says(answer("200 OK", b"<html>Sign in</html>", Content_Type="text/html"))
    yield "empty", says(answer("200 OK"))
    yield "part of another", says(answer("206 Partial Content", good[5:], Content_Range="bytes 5-9/1000"))
    yield "a range that is none", says(answer("206 Partial Content", good, Content_Range="bytes x-y/z"))
    for target in (
        *(
            "/loop",
            "",
            "http://",
            "http://[::1",
            "ftp://files.example/x",
            "file:///etc/passwd",
            "//",
            "\x00",
            "http:///x",
        ),
        *(
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:1/",
            "http://nowhere.invalid/x",
            "https://127.0.0.1:1/",
            "?",
            "#",
        ),
        *("http://user:password@127.0.0.1:1/", "gopher:x", "/" + "a" * 9000, "http://" + "a" * 300 + "/"),
    ):
        yield f"redirect to {target[:30]!r}", says(answer("302 Found", Location=target))
    yield "redirect to nowhere", says(answer("302 Found"))
    for status in (100, 101, 204, 205, 300, 304, 400, 401, 403, 404, 405, 407, 408, 409, 410, 412, 413, 414, 416, 418):
        yield f"status {status}", says(answer(f"{status} X", b"no: \xff\xfe"))
    for status in (421, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 511, 520, 599, 600, 999):
        yield f"status {status}", says(answer(f"{status} X", b'{"errors": [{"code": "X", "message": null}]}'))
    for after in ("soon", "-1", "1e9", "Fri, 99 Foo 2026 25:00:00 GMT", "99999999999999999999"):
        yield f"Retry-After {after}", says(answer("503 Busy", Retry_After=after))
    for challenge in (
        *("", "Basic", "Bearer", "Negotiate", 'Bearer realm=""', 'Bearer realm="http://127.0.0.1:1/t"'),
        *(
            'Bearer realm="ftp://x/"',
            'Bearer realm="http://[::1"',
            'Bearer realm="/token",service="a",scope="b"',
            "\x7f",
        ),
    ):
        yield f"challenge {challenge}", says(answer("401 X", WWW_Authenticate=challenge))
    for about, data in damaged(good, 24, "answers"):
        yield f"body {about}", says(answer("200 OK", data))


def slow_answers(good: bytes) -> Iterator[tuple[str, Say]]:
    """Yields answers that stop, for clients with little patience."""
    yield "silence", _stops(b"")
    yield "half a head, then silence", _stops(b"HTTP/1.1 200 OK\r\nContent-")
    yield "a head, then silence", _stops(answer("200 OK", Content_Length="100"))
    yield "half a body, then silence", _stops(answer("200 OK", good[: len(good) // 2], Content_Length=str(len(good))))


class BadServer:
    """A server that answers every request by ``say``, which a test sets."""

    def __init__(self) -> None:
        self.say: Say = says(b"")
        self.route: Callable[[str], bytes | Say] | None = None
        """If set, answers by the request's line, such as ``GET /v2/ HTTP/1.1``."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the server and its thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            request = b""
            while b"\r\n\r\n" not in request and (data := connection.recv(65536)):
                request += data
            head, _, body = request.partition(b"\r\n\r\n")
            missing = _announced_bytes(head) - len(body)
            while missing > 0 and (data := connection.recv(min(missing, 65536))):  # else closing would reset the answer
                missing -= len(data)
            line = head.partition(b"\r\n")[0].decode("latin-1")
            said = self.say if self.route is None else self.route(line)
            if isinstance(said, bytes):
                connection.sendall(said)
            else:
                said(connection)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)


def _announced_bytes(head: bytes) -> int:
    """Returns the length of the body that the head of a request announces, in bytes."""
    found = re.search(rb"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
    return int(found[1]) if found else 0


@contextmanager
def bad_server() -> Iterator[BadServer]:
    """Yields a server that is closed at the end."""
    server = BadServer()
    try:
        yield server
    finally:
        server.close()


MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"


def bad_registry_routes(file: bytes, count: int) -> Iterator[tuple[str, Callable[[str], bytes]]]:
    """Yields registries with one artifact ``file``, each faulty in another way: (name, route)."""
    blob = {"mediaType": "application/octet-stream", "digest": digest_of(file), "size": len(file)}
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
    manifest: Mapping[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": "application/vnd.edgemodel.model.onnx.v1",
        "config": config,
        "layers": [blob | {"annotations": {"org.opencontainers.image.title": "m.onnx"}}],
    }
    good = json.dumps(manifest).encode()
    for about, value in mutated(manifest, count, "manifests"):
        yield f"manifest {about}", _registry(json.dumps(value).encode(), file)
    for about, data in damaged(good, count // 2, "manifest bytes"):
        yield f"manifest {about}", _registry(data, file)
    for about, data in damaged(file, count // 4, "blobs"):
        yield f"blob {about}", _registry(good, data)
    yield "a wrong digest in the header", _registry(good, file, digest=f"sha256:{'0' * 64}")
    yield "no digest in the header", _registry(good, file, digest="")
    yield "a digest that is none", _registry(good, file, digest="md5:1")


def _registry(manifest: bytes, blob: bytes, digest: str | None = None) -> Callable[[str], bytes]:
    said = digest_of(manifest) if digest is None else digest

    def route(line: str) -> bytes:
        method, _, path = line.partition(" ")
        if path.startswith("/v2/ "):
            return answer("200 OK", b"{}")
        if "/manifests/" in path:
            headers = {"Content_Type": MANIFEST_TYPE, "Docker_Content_Digest": said}
            made = answer("200 OK", manifest, **headers)
            return made.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else made
        if "/blobs/" in path and method == "GET":
            return answer("200 OK", blob)
        return answer("404 Not Found", b'{"errors": []}')

    return route


PUSH_STEPS: Final = (
    *("GET /v2/", "HEAD blobs", "POST uploads", "PATCH uploads", "PUT uploads", "PUT manifests"),
    *("GET manifests/base", "GET manifests/sha256", "GET blobs", "HEAD manifests"),
)
"""The kinds of requests of a push: the method and a part of the path."""


def bad_push_answers() -> Iterator[tuple[str, Say]]:
    """Yields what registries, and proxies in front of them, have answered to pushes: (name, function that sends it)."""
    for status in ("200 OK", "201 Created", "202 Accepted", "204 No Content", "307 Moved", "308 Moved"):
        for place in ("", "/loop", "?", "//", "http://[::1", "ftp://x/y", "http://127.0.0.1:1/u", "\x00", "x" * 9000):
            yield f"{status}, Location {place[:12]!r}", says(answer(status, Location=place))
        yield f"{status}, no Location", says(answer(status))
        yield f"{status}, a page", says(answer(status, b"<html>Sign in</html>", Content_Type="text/html"))
        for digest in ("", "md5:1", f"sha256:{'0' * 64}", "\xb2", "a, b"):
            yield f"{status}, digest {digest[:9]!r}", says(answer(status, Location="/u", Docker_Content_Digest=digest))
    for length in ("x", "-1", "\xb2", "9" * 5000, "1.5", "0", "99999999999999"):
        yield f"chunks of {length[:9]!r}", says(answer("202 Accepted", Location="/u", OCI_Chunk_Min_Length=length))
    for after in ("\xb2", "9" * 5000, "1e400", "-0", " 5 ", "Fri, 31 Dec 9999 23:59:59 -2359", "0x10", "nan"):
        for status in ("429 Too Many Requests", "503 Busy"):
            yield f"{status}, Retry-After {after[:9]!r}", says(answer(status, Retry_After=after))
    for code in (
        "BLOB_UPLOAD_INVALID",
        "DIGEST_INVALID",
        "MANIFEST_INVALID",
        "SIZE_INVALID",
        "TOOMANYREQUESTS",
        None,
        7,
    ):
        for status in ("400 Bad", "404 Not Found", "413 Too Large", "416 Range", "429 Too Many"):
            yield f"{status} {code}", says(answer(status, json.dumps({"errors": [{"code": code}]}).encode()))
    for body in (b'{"errors": null}', b"[]", b"\xff\xfe", b"[" * 100_000, b'{"errors": [{"message": "NameError: x"}]}'):
        yield f"400 {body[:20]!r}", says(answer("400 Bad", body))
    for realm in ("/t", "", "//", "http://127.0.0.1:1/t"):
        said = f'Bearer realm="{realm}",service="\xe4",scope=""'
        yield f"realm {realm!r}", says(answer("401 Unauthorized", WWW_Authenticate=said))


def push_routes(base: bytes, files: Mapping[str, bytes], step: str, bad: Say) -> Callable[[str], bytes | Say]:
    """Returns a registry that accepts every push and has the image ``base``, a manifest or index, with its blobs and
    manifests ``files`` by digest; requests of ``step`` (of PUSH_STEPS) get the answer ``bad``."""
    method, _, part = step.partition(" ")

    def route(line: str) -> bytes | Say:
        asked, _, path = line.partition(" ")
        if asked == method and part in path and (part != "/v2/" or path.startswith("/v2/ ")):
            return bad
        if asked in ("GET", "HEAD") and path.startswith("/v2/ "):
            return answer("200 OK", b"{}")
        if asked == "POST" or asked == "PATCH":
            return answer("202 Accepted", Location="/v2/a/b/blobs/uploads/1?state=x")
        if asked == "PUT":
            return answer("201 Created")
        name = path.partition(" ")[0].rsplit("/", 1)[1]
        found = base if name == "base" else files.get(name)
        if asked == "GET" and found is not None:
            return answer("200 OK", found, Content_Type=MANIFEST_TYPE)
        return answer("404 Not Found", b"{}")

    return route
