"""API servers that refuse, and kubeconfigs that lead to them or nowhere."""

import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.edge_oci.realm import pem

GROUP = "edgemodel.io"
KNOWN: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": GROUP,
                "versions": [{"groupVersion": f"{GROUP}/v1alpha1", "version": "v1alpha1"}],
                "preferredVersion": {"groupVersion": f"{GROUP}/v1alpha1", "version": "v1alpha1"},
            }
        ],
    },
    f"/apis/{GROUP}/v1alpha1": {
        "kind": "APIResourceList",
        "groupVersion": f"{GROUP}/v1alpha1",
        "resources": [
            {
                "name": "edgemodels",
                "singularName": "edgemodel",
                "namespaced": True,
                "kind": "EdgeModel",
                "verbs": ["get", "patch"],
            }
        ],
    },
}
"""The answers by which kubectl learns what the server knows."""


def refusal(code: int, reason: str, message: str) -> dict[str, Any]:
    """Returns the body of a refusal, as API servers write it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": message,
    }


def kubeconfig(folder: Path, server: str, *, authority: Path | None = None, user: dict[str, Any] | None = None) -> Path:
    """Writes a kubeconfig with one context, ``here``, and returns its path; without an authority no certificate is
    verified."""
    trust = {"certificate-authority": str(authority)} if authority else {"insecure-skip-tls-verify": True}
    plain = server.startswith("http://")
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server} if plain else {"server": server, **trust}}],
        "users": [{"name": "me", "user": {"token": "t"} if user is None else user}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "vision"}}],
        "current-context": "here",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


@contextmanager
def api_server(answer: dict[str, Any], *, known: bool = True, tls: Path | None = None) -> Iterator[str]:
    """Yields the address of a server that answers ``answer``, a refusal, to everything; ``known``: but not to the
    question what it knows. ``tls`` is a file with its certificate and key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = KNOWN.get(self.path.partition("?")[0]) if known else None
            body = json.dumps(found or answer).encode()
            self.send_response(200 if found else answer["code"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PATCH(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def silent_server() -> Iterator[str]:
    """Yields the address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


def certificate(path: Path, address: str = "127.0.0.1", days: tuple[int, int] = (-1, 1)) -> Path:
    """Writes a certificate that vouches for itself, and its key; it is valid within ``days`` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    begin, end = (datetime.now(UTC) + timedelta(days=day) for day in days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(pem(made) + pem(key))
    return path
