"""Runs the operator and kills it with SIGKILL at every write that it makes: instead of the first, after the second, …

It is a program of its own, so that it can run where the API server is (see ``--help``): a proxy in front of the API
server sees each request. A write that it is killed at is either not passed on, or passed on and not answered; each
killed operator is followed by another. Writes of its lease and reviews of tokens always pass: they belong to no
rollout. So does a write that is refused as a conflict: it changed nothing, and an operator that finds its work already
done must get beyond it. SIGTERM ends the program and the operator; each kill is one line of JSON on standard output.
"""

import argparse
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}
CHUNK = 1 << 16
OPERATORS = Path(__file__).with_name("operators.py")


class Killer:
    """The operator as a child that is killed at writes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.lock = threading.Lock()
        self.one_write = threading.Lock()
        """The lock that is held while a write is decided on, because all other writes of a dying operator are lost."""
        self.child: int | None = None
        """The process id of the running operator; None if there is none."""
        self.kills = 0
        self.dying = False
        self.ended = threading.Event()

    @property
    def comes_after(self) -> bool:
        """True if the next write reaches the API server before its operator is killed."""
        return self.kills % 2 == 1

    def kill(self, write: str) -> None:
        """Kills the operator at ``write``, and reports it."""
        with self.lock:
            when = "after" if self.comes_after else "before"
            self.kills += 1
            self.dying = True
            print(json.dumps({"kill": self.kills, "when": when, "write": write}), flush=True)
            assert self.child is not None
            os.kill(self.child, signal.SIGKILL)

    def run(self, kubeconfig: Path) -> None:
        """Starts another operator after each that was killed, until it is told to end."""
        environment = {**os.environ, **json.loads(self.options.environment.read_text()), "KUBECONFIG": str(kubeconfig)}
        command = [sys.executable, str(OPERATORS)]
        pipe = subprocess.PIPE
        with (
            self.options.log.open("ab") as log,
            subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=log, text=True) as operators,
        ):
            assert operators.stdin is not None
            assert operators.stdout is not None
            while not self.ended.is_set():
                with self.lock:
                    print(file=operators.stdin, flush=True)
                    self.child = int(operators.stdout.readline())
                    self.dying = False
                operators.stdout.readline()

    def end(self) -> None:
        """Ends the operator and starts it no more."""
        self.ended.set()
        with self.lock:
            self.dying = True
            if self.child is not None:
                os.kill(self.child, signal.SIGTERM)


def handler(killer: Killer) -> type[BaseHTTPRequestHandler]:
    """Returns the handler of requests, which passes them on to the API server and kills at writes."""
    options = killer.options
    context = ssl.create_default_context(cafile=options.pki / "ca.crt")
    context.load_cert_chain(options.pki / "admin.crt", options.pki / "admin.key")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.command == "GET" or "/leases" in self.path or "/tokenreviews" in self.path:
                self._ask(body)
                return
            with killer.one_write:
                if killer.dying:
                    self.close_connection = True
                elif killer.comes_after:
                    self._ask(body, write=f"{self.command} {self.path}")
                else:
                    self.close_connection = True
                    killer.kill(f"{self.command} {self.path}")

        def _ask(self, body: bytes, write: str = "") -> None:
            """Passes the request on, and the answer back, unless it is a ``write`` that changed something."""
            connection = http.client.HTTPSConnection(options.api, context=context, timeout=400)
            headers = {key: value for key, value in self.headers.items() if key.lower() not in {*HOP_BY_HOP, "host"}}
            try:
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                if write and answer.status != http.HTTPStatus.CONFLICT:
                    answer.read()
                    self.close_connection = True
                    killer.kill(write)
                    return
                self._answer(answer)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
            finally:
                connection.close()

        def _answer(self, answer: http.client.HTTPResponse) -> None:
            self.send_response_only(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in HOP_BY_HOP:
                    self.send_header(key, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while data := answer.read1(CHUNK):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - names of http.server

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

    return Handler


def main() -> None:
    """Runs the operator behind a proxy that kills it at its writes, until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True, help="host:port of the API server")
    parser.add_argument("--pki", type=Path, required=True, help="folder with ca.crt, admin.crt and admin.key")
    parser.add_argument("--environment", type=Path, required=True, help="JSON file: the operator's variables")
    parser.add_argument("--log", type=Path, required=True, help="file for what the operators say")
    killer = Killer(parser.parse_args())
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(killer))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: killer.end())
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        users = [{"name": "u", "user": {"token": "none"}}]
        value = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context], "users": users}
        kubeconfig.write_text(json.dumps({**value, "current-context": "c"}))
        killer.run(kubeconfig)


if __name__ == "__main__":
    main()
