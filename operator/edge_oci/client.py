"""Authentication at one registry, and requests that send their credentials unasked.

The registry is asked once which authentication it demands. From then on each request carries it from the start: a 401
in answer to the body of an upload would cost the upload.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from .credentials import Anonymous, Credentials, Login
from .descriptors import parse_json
from .errors import InvalidContent, Unauthorized
from .references import Reference
from .transport import Patience, Response, Transport
from .urls import NoUrl, join_url

_API_HOSTS = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_TOKEN_SECONDS = 60  # what the token specification lets a client assume
_USE_OF_TOKEN = 0.75  # of its life; a request that starts later might end with a token that has expired


class Registries:
    """The access to all registries: credentials, trusted certificates, retries. A program has one of these."""

    def __init__(
        self,
        *,
        credentials: Credentials | None = None,
        plain_http_hosts: Collection[str] = (),
        ca_file: Path | None = None,
        patience: Patience | None = None,
        read_timeout_seconds: float = 60.0,
        sign: Callable[[str], str] | None = None,
    ) -> None:
        """Speaks without TLS to the hosts of ``plain_http_hosts`` (with port), and to no others.

        ``ca_file`` (PEM) is trusted besides the system's authorities. ``sign`` makes the bearer token for a scope; a
        program that is itself the registries' token realm sets it, and then no realm is asked. Raises
        InvalidCredentials when ``ca_file`` cannot be read.
        """
        self._credentials = credentials or Anonymous()
        self._sign = sign
        self._transport = Transport(
            ca_file=ca_file,
            plain_http_hosts=plain_http_hosts,
            patience=patience,
            read_timeout_seconds=read_timeout_seconds,
        )
        self._hosts: dict[str, Host] = {}

    def repository(self, reference: Reference) -> "Repository":
        """Returns the repository of ``reference``; opens no connection."""
        return Repository(self.host(reference.host), reference.repository)

    def host(self, name: str) -> "Host":
        """Returns the registry ``name`` (with port); opens no connection."""
        return self._hosts.setdefault(name, Host(name, self._transport, self._credentials, self._sign))


@dataclass(frozen=True)
class _Challenge:
    """The authentication that a registry demands: ``scheme`` is basic, bearer, or empty for a registry open to all."""

    scheme: str
    parameters: Mapping[str, str]


class Host:
    """One registry: its challenge and its tokens."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        credentials: Credentials,
        sign: Callable[[str], str] | None = None,
    ) -> None:
        self.name = name
        self.transport = transport
        self._credentials = credentials
        self._sign = sign
        address = _API_HOSTS.get(name, name)
        self.url = f"{transport.scheme(address)}://{address}"
        self._challenge: _Challenge | None = None
        self._tokens: dict[str, tuple[str, float]] = {}

    def authorization(self, repository: str, scope: str, *, renewed: bool = False) -> dict[str, str]:
        """Returns the headers that authenticate a request. Raises Unauthorized, InvalidCredentials."""
        if self._challenge is None:
            self._challenge = self._ask()
        if not self._challenge.scheme:
            return {}
        if self._challenge.scheme == "bearer":
            return {"Authorization": f"Bearer {self._token(repository, scope, self._challenge, renewed)}"}
        login = self._credentials.login(self.name, repository)
        return {"Authorization": login.basic} if login else {}

    def renews(self) -> bool:
        """Returns True if a refused request can be repeated with a new token."""
        return self._challenge is not None and self._challenge.scheme == "bearer"

    def explain(self, error: Unauthorized, repository: str) -> Unauthorized:
        """Returns ``error`` with the advice what to change."""
        login = self._credentials.login(self.name, repository)
        helper = self._credentials.helper(self.name)
        if login is None and helper is not None:
            advice = (
                f"config.json leaves the login for {self.name} to the credential helper {helper!r}, which is not run: "
                "write user name and password into it, or use a secret that kubectl create secret docker-registry makes"
            )
        elif login is None:
            advice = f"there are no credentials for {self.name}/{repository}: add them to the pull or push secret"
        elif login.identity_token is not None:
            advice = f"the identity token for {self.name} is refused, or may not do this to {repository}: log in anew"
        else:
            advice = f"user {login.username!r} is refused, or may not do this to {repository}: check both"
        return Unauthorized(error.status, f"{error}; {advice}")

    def _ask(self) -> _Challenge:
        answer = self.transport.send("GET", f"{self.url}/v2/", headers=_AGENT, expect=(200, 401))
        if answer.status == 200:
            return _Challenge("", {})
        return _parse_challenge(answer.headers.get("WWW-Authenticate", ""), self.name)

    def _token(self, repository: str, scope: str, challenge: _Challenge, renewed: bool) -> str:
        if self._sign is not None:
            return self._sign(scope)
        token, good_until = self._tokens.get(scope, ("", 0.0))
        if renewed or time.monotonic() >= good_until:
            token, seconds = self._fetch_token(repository, scope, challenge)
            self._tokens[scope] = (token, time.monotonic() + seconds * _USE_OF_TOKEN)
        return token

    def _fetch_token(self, repository: str, scope: str, challenge: _Challenge) -> tuple[str, float]:
        realm = _joined(self.url, challenge.parameters.get("realm", ""), f"{self.name} names as its realm of tokens")
        self.transport.check_scheme(self.url, realm)
        query = [("service", challenge.parameters["service"])] if "service" in challenge.parameters else []
        query += [("scope", part) for part in scope.split(" ") if part]
        login: Login | None = self._credentials.login(self.name, repository)
        try:
            if login is not None and login.identity_token is not None:
                answer = self._exchange(realm, query, login.identity_token)
            else:
                headers = _AGENT | ({"Authorization": login.basic} if login else {})
                mark = "&" if urlsplit(realm).query else "?"
                answer = self.transport.send("GET", f"{realm}{mark}{urlencode(query)}", headers=headers)
        except Unauthorized as error:
            raise self.explain(error, repository) from None
        value = parse_json(answer.data, f"the answer of {realm}")
        token = value.get("token") or value.get("access_token")
        if not isinstance(token, str):
            raise InvalidContent(f"the answer of {realm} holds no token")
        seconds = value.get("expires_in")
        return token, float(seconds) if isinstance(seconds, int | float) and seconds > 0 else _TOKEN_SECONDS

    def _exchange(self, realm: str, query: list[tuple[str, str]], identity_token: str) -> Response:
        """Asks the realm for an access token by the OAuth 2 grant of a refresh token, as Docker does."""
        scopes = " ".join(value for name, value in query if name == "scope")
        form = [("grant_type", "refresh_token"), ("client_id", "edgemodel"), ("refresh_token", identity_token)]
        form += [*((name, value) for name, value in query if name != "scope"), ("scope", scopes)]
        headers = _AGENT | {"Content-Type": "application/x-www-form-urlencoded"}
        return self.transport.send("POST", realm, headers=headers, body=urlencode(form).encode())


@dataclass(frozen=True)
class Repository:
    """One repository of one registry; the functions of blobs, manifests, images and artifacts take it."""

    host: Host
    name: str

    def reference(self, *, tag: str | None = None, digest: str | None = None) -> Reference:
        """Returns the reference of a tag or digest in this repository."""
        return Reference(self.host.name, self.name, tag, digest)

    def __str__(self) -> str:
        return f"{self.host.name}/{self.name}"

    def request(
        self,
        method: str,
        path: str,
        *,
        push: bool = False,
        mount_from: str | None = None,
        scope: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        expect: Collection[int] = (200,),
        stream: bool = False,
        tries: int | None = None,
    ) -> Response:
        """Sends a request to ``path``, which is below ``/v2/<name>/``, or a whole URL that the registry gave as
        Location.

        ``push`` asks for the right to write, ``mount_from`` for the right to read that repository too, and ``scope``
        replaces both. Raises as ``Transport.send``; Unauthorized only after a new token was refused as well.
        """
        url = path if "://" in path else f"{self.host.url}/v2/{self.name}/{path}"
        ours = urlsplit(url).netloc == urlsplit(self.host.url).netloc
        self.host.transport.check_scheme(self.host.url, url)
        scope = scope or self._scope(push, mount_from)

        for renewed in (False, True):  # a token may expire earlier than announced
            signed = self.host.authorization(self.name, scope, renewed=renewed) if ours else {}
            every = _AGENT | dict(headers or {}) | signed
            try:
                return self.host.transport.send(
                    method, url, headers=every, body=body, expect=expect, stream=stream, tries=tries
                )
            except Unauthorized as error:
                if renewed or not ours or not self.host.renews():
                    raise self.host.explain(error, self.name) from None
        raise AssertionError("the second round returns or raises")

    def url(self, location: str | None) -> str:
        """Returns a Location header, which may be relative, as a URL. Raises InvalidContent if there is none."""
        if not location:
            raise InvalidContent(f"{self}: the registry opened an upload without saying where")
        return _joined(self.host.url, location, f"{self} names as the place of an upload")

    def _scope(self, push: bool, mount_from: str | None) -> str:
        own = f"repository:{self.name}:{'pull,push' if push else 'pull'}"
        return f"{own} repository:{mount_from}:pull" if mount_from else own


def _joined(base: str, url: str, what: str) -> str:
    try:
        return join_url(base, url)
    except NoUrl as error:
        raise InvalidContent(f"what {what}: {error}") from None


_AGENT = {"User-Agent": "edge-oci"}


def _parse_challenge(header: str, host: str) -> _Challenge:
    found = re.search(r"\b(bearer|basic)\b", header, re.IGNORECASE)
    if found is None:
        raise InvalidContent(f"{host} wants to be signed in to in a way that is not Basic or Bearer: {header[:200]!r}")
    bearer = re.search(r"\bbearer\s+(.*)", header, re.IGNORECASE | re.DOTALL)
    if bearer is None:
        return _Challenge("basic", {})
    return _Challenge("bearer", dict(re.findall(r'(\w+)="([^"]*)"', bearer[1])))
