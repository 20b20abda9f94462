"""A token realm like the operator's: Basic ``token:<service-account token>`` in, a short-lived ES256 JWT out."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVICE = "edgemodel-registry"
ISSUER = "edgemodel-operator"


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, *, addresses: list[x509.GeneralName] | None = None
) -> x509.Certificate:
    """Returns a self-signed certificate, valid from yesterday to tomorrow."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if addresses:
        builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    return builder.sign(key, hashes.SHA256())


def pem(thing: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


@dataclass
class Realm:
    """A realm in which each secret of ``namespaces`` may push and pull below its namespace, and nothing else."""

    key: ec.EllipticCurvePrivateKey
    chain: x509.Certificate
    namespaces: dict[str, str]
    url: str = ""
    expired_tokens: int = 0
    """The number of next tokens that have already expired, whatever ``expires_in`` says."""
    requests: list[dict[str, list[str]]] = field(default_factory=list)

    def grant(self, authorization: str, scopes: list[str]) -> dict[str, Any] | None:
        """Returns the answer to a request with this header; None: 401."""
        username, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        namespace = self.namespaces.get(secret)
        if username != "token" or namespace is None:
            return None
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            if name.startswith(f"{namespace}/"):
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        age = 0
        if self.expired_tokens:
            self.expired_tokens -= 1
            age = 7200
        now = int(time.time()) - age
        claims = {"iss": ISSUER, "aud": SERVICE, "sub": "", "iat": now, "nbf": now, "exp": now + 300, "access": access}
        chain = base64.b64encode(self.chain.public_bytes(serialization.Encoding.DER)).decode()
        return {"token": jwt.encode(claims, self.key, "ES256", headers={"x5c": [chain]}), "expires_in": 300}


@contextmanager
def running(directory: Path, namespaces: dict[str, str]) -> Iterator[tuple[Realm, dict[str, Any]]]:
    """Yields the realm, and the ``auth`` section of a registry's configuration that points to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    realm = Realm(key, certificate(ISSUER, key), namespaces)
    bundle = directory / "realm.pem"
    bundle.write_bytes(pem(realm.chain))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            self._answer(query, realm.grant(self.headers.get("Authorization", ""), query.get("scope", [])))

        def do_POST(self) -> None:
            """Answers the grant of a refresh token, for which the secret of a namespace serves."""
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            secret = form["refresh_token"][0] if form["grant_type"] == ["refresh_token"] else ""
            authorization = "Basic " + base64.b64encode(f"token:{secret}".encode()).decode()
            self._answer(form, realm.grant(authorization, form["scope"][0].split(" ")))

        def _answer(self, asked: dict[str, list[str]], answer: dict[str, Any] | None) -> None:
            realm.requests.append(asked)
            content = json.dumps(answer or {"errors": [{"code": "UNAUTHORIZED"}]}).encode()
            self.send_response_only(200 if answer else 401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    realm.url = f"http://127.0.0.1:{server.server_port}/token"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    section = {"realm": realm.url, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(bundle)}
    try:
        yield realm, {"token": section}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
