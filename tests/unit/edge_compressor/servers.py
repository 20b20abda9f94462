"""Real servers on loopback: an HTTP server that misbehaves on request, and Debian's docker-registry."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.registry import ANY_PORT, RegistryProgram, run_registry

Handler = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request; ``answer`` replies to it."""

    protocol_version = "HTTP/1.1"
    server: "FileServer"

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        handler = self.server.routes.get(self.path.partition("?")[0])
        if handler is None:
            self.answer(404)
        else:
            handler(self)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, self.headers["Authorization"], body))
        self.answer(204)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


class FileServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.routes: dict[str, Handler] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.posted: list[tuple[str, str, bytes]] = []
        """The (path, Authorization, body) of each POST."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def serve(self, path: str, data: bytes, *, cut_after: int | None = None, etag: str | None = '"one"') -> str:
        """Serves ``data`` at ``path``, with ranges; the first answer breaks off after ``cut_after`` bytes."""
        left = [cut_after]

        def handler(exchange: Exchange) -> None:
            start = 0
            wanted = exchange.headers.get("Range", "")
            if wanted and exchange.headers.get("If-Range", etag) == etag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers = {"ETag": etag} if etag else {}
            if start:
                headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            part, cut = data[start:], left[0]
            if cut is None:
                exchange.answer(206 if start else 200, part, **headers)
                return
            left[0] = None
            exchange.answer(200, part[:cut], Content_Length=str(len(part)), **headers)
            exchange.close_connection = True

        self.routes[path] = handler
        return self.url(path)


@contextmanager
def file_server() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# bcrypt of "secret" for user "ann"
_USERS = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


@contextmanager
def registry_program(folder: Path, *, with_password: bool = False) -> Iterator[RegistryProgram]:
    """Yields a registry; with a password, that of the user ann is "secret"."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users").write_text(_USERS)
    auth = f"auth: {{htpasswd: {{realm: test, path: {folder / 'users'}}}}}\n" if with_password else ""
    (folder / "config.yaml").write_text(
        "version: 0.1\n"
        "log: {level: info, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
        f"http: {{addr: '{ANY_PORT}'}}\n" + auth
    )
    with run_registry(folder / "config.yaml") as registry:
        yield registry
