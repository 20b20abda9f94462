"""The realm of the embedded registry's ``auth.token``, which decides who may push what.

A compression Job has a service-account token for the audience ``edgemodel-registry`` and nothing else. It sends that
token as the password of Basic authentication, and gets a JWT that is valid for five minutes and for repositories below
the name of its own namespace. There is no password to store or to renew.

The protocol is Distribution's token authentication; the JWT is signed with ES256 and carries the certificate in its
``x5c`` header, which the registry compares with its ``rootcertbundle``.
"""

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgemodel.errors import Transient
from edgemodel.names import REGISTRY_AUDIENCE

ISSUER: Final = "edgemodel-operator"
SERVICE: Final = REGISTRY_AUDIENCE
VALID_FOR: Final = timedelta(minutes=5)
CLOCK_SKEW: Final = timedelta(minutes=5)
"""The time before its creation from which a token is valid: the registry may run on a board whose clock is slow."""

KEYS_SECRET: Final = "edgemodel-registry-keys"  # noqa: S105 - a name, not a secret
GRANTED_TO_NAMESPACES: Final = ("pull", "push")
"""The actions that a namespace may be granted; only the operator, which signs tokens for itself, may delete."""

CATALOG_SCOPE: Final = "registry:catalog:*"

Review = Callable[[str], Awaitable[str | None]]
"""A function that returns the namespace of a service-account token; None if it is not valid for this audience.

It raises edgemodel.errors.Transient when the API server does not answer.
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_keys() -> tuple[bytes, bytes]:
    """Returns a new private key and its self-signed certificate, both PEM: ``tls.key`` and ``tls.crt`` of
    KEYS_SECRET.

    The certificate is valid at any time, because boards without a battery start in the past. To change the key, delete
    the Secret and restart operator and registry.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1970, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))  # RFC 5280: no expiration
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem, certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Access:
    """The actions that a token allows in one repository: pull, push and delete."""

    repository: str
    actions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of the claim ``access``."""
        return {"type": "repository", "name": self.repository, "actions": list(self.actions)}


@dataclass(frozen=True)
class CatalogAccess:
    """The permission to list all repositories. Only the operator signs it, and only for itself."""

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of the claim ``access``."""
        return {"type": "registry", "name": "catalog", "actions": ["*"]}


def parse_scopes(scopes: Iterable[str]) -> list[Access]:
    """Returns the repositories in ``scope`` parameters: ``repository:NAME:ACTION[,ACTION]``, separated by spaces.

    Other scopes are ignored, as the protocol requires: the answer grants what it can. A NAME may hold a colon (a host
    with its port).
    """
    found = []
    for scope in " ".join(scopes).split():
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "repository" and name:
            found.append(Access(name, tuple(dict.fromkeys(actions.split(",")))))
    return found


def grant(namespace: str, wanted: Iterable[Access]) -> list[Access]:
    """Returns the part of ``wanted`` that ``namespace`` may have: pull and push, below its own name."""
    granted = []
    for access in wanted:
        actions = tuple(action for action in access.actions if action in GRANTED_TO_NAMESPACES)
        if actions and access.repository.startswith(f"{namespace}/"):
            granted.append(Access(access.repository, actions))
    return granted


class Signer:
    """A signer of the registry's tokens, from the two PEM texts of ``make_keys``. Raises ValueError if they are
    invalid."""

    def __init__(self, key_pem: bytes, certificate_pem: bytes) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the registry's key is not an elliptic-curve key")
        if key.public_key() != certificate.public_key():
            raise ValueError("the registry's key and certificate do not belong together")
        self._key = key
        self._chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]

    def sign(self, subject: str, access: Sequence[Access | CatalogAccess], now: datetime) -> str:
        """Returns a bearer token for ``access`` and nothing else, valid until ``now`` + VALID_FOR."""
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - CLOCK_SKEW,
            "exp": now + VALID_FOR,
            "jti": secrets.token_hex(16),
            "access": [item.to_json() for item in access],
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"x5c": self._chain})


def sign_for_operator(signer: Signer, scope: str, now: datetime) -> str:
    """Returns a token for all of ``scope``: the operator may do everything in its own registry."""
    access: list[Access | CatalogAccess] = [*parse_scopes([scope])]
    if CATALOG_SCOPE in scope.split():
        access.append(CatalogAccess())
    return signer.sign(ISSUER, access, now)


def token_review(token: str) -> dict[str, Any]:
    """Returns the TokenReview that asks the API server whether ``token`` was made for this registry."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {},
        "spec": {"token": token, "audiences": [REGISTRY_AUDIENCE]},
    }


def reviewed_namespace(review: Mapping[str, Any]) -> str | None:
    """Returns the namespace in the API server's answer to ``token_review``; None if the token is not valid.

    The answer of an API server that ignores audiences does not list them, and is not trusted.
    """
    status = review.get("status", {})
    if not status.get("authenticated") or REGISTRY_AUDIENCE not in status.get("audiences", ()):
        return None
    parts = str(status.get("user", {}).get("username", "")).split(":")
    return parts[2] if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"] and parts[2] else None


def token_handler(signer: Signer, review: Review) -> Handler:
    """Returns the handler of ``GET /token?service=edgemodel-registry&scope=repository:NAMESPACE/NAME:pull,push``."""

    async def token(request: web.Request) -> web.StreamResponse:
        service = request.query.get("service", "")
        if service != SERVICE:
            return _error(400, "UNSUPPORTED", f"service is {service!r}, this is the realm of {SERVICE!r}")
        shown = _password(request.headers.get("Authorization", ""))
        if shown is None:
            return _error(
                401,
                "UNAUTHORIZED",
                "no credentials: send Basic authentication, with any user name and, as password, a service-account "
                f"token for the audience {REGISTRY_AUDIENCE}",
            )
        try:
            namespace = await review(shown)
        except Transient as error:
            return _error(503, "UNAVAILABLE", f"the token cannot be checked now: {error.message}")
        if namespace is None:
            return _error(
                401,
                "UNAUTHORIZED",
                f"the password is not a valid service-account token for the audience {REGISTRY_AUDIENCE}: it has "
                "expired, was made for another audience, or its pod is gone",
            )
        now = datetime.now(UTC)
        granted = grant(namespace, parse_scopes(request.query.getall("scope", [])))
        signed = signer.sign(namespace, granted, now)
        return web.json_response(
            {
                "token": signed,
                "access_token": signed,
                "expires_in": int(VALID_FOR.total_seconds()),
                "issued_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            headers={"Cache-Control": "no-store"},
        )

    return token


def _password(authorization: str) -> str | None:
    """Returns the password in a Basic Authorization header; None if there is none. The user name is ignored."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password or None


def _error(status: int, code: str, message: str) -> web.Response:
    """Returns an error in the registry's own format, so that clients show the message."""
    headers = {"WWW-Authenticate": f'Basic realm="{SERVICE}"'} if status == 401 else {}
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status, headers=headers)
