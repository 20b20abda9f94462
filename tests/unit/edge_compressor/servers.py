"""Real servers on loopback: an HTTP server that misbehaves on request, and Debian's docker-registry."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class FileServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.routes: dict[str, Handler] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def serve(self, path: str, data: bytes, *, cut_after: int | None = None, etag: str | None = '"one"') -> str:
        """``data`` at ``path``, with ranges; the first answer breaks off after ``cut_after`` bytes."""
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


@dataclass
class RegistryProgram:
    """A running docker-registry."""

    host: str
    folder: Path
    log: list[str] = field(default_factory=list)


# bcrypt of "secret" for user "ann"
_USERS = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


@contextmanager
def registry_program(folder: Path, *, with_password: bool = False) -> Iterator[RegistryProgram]:
    """Debian's docker-registry on a free port of loopback; with a password, user ann's is "secret"."""
    program = shutil.which("docker-registry", path="/usr/bin:/usr/local/bin")
    assert program, "the registry's program is missing: apt-get install --no-install-recommends docker-registry"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users").write_text(_USERS)
    auth = f"auth: {{htpasswd: {{realm: test, path: {folder / 'users'}}}}}\n" if with_password else ""
    (folder / "config.yaml").write_text(
        "version: 0.1\n"
        "log: {level: info, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
        "http: {addr: '127.0.0.1:0'}\n" + auth
    )
    process = subprocess.Popen([program, "serve", folder / "config.yaml"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        log: list[str] = []
        for line in process.stderr:
            log.append(line)
            if "listening on 127.0.0.1:" in line:
                port = line.partition("listening on 127.0.0.1:")[2].split('"')[0].strip()
                break
        else:
            raise AssertionError("docker-registry did not start:\n" + "".join(log))
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        yield RegistryProgram(f"127.0.0.1:{port}", folder, log)
    finally:
        process.terminate()
        process.wait()
