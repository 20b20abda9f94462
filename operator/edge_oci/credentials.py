"""The credentials for each registry.

Two sources: a Docker ``config.json`` (what a Secret of type kubernetes.io/dockerconfigjson holds), and a
file with a token that somebody renews (a projected service-account token).
"""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json
from edgemodel.user_files import UnreadableFile, read_text

from .errors import InvalidCredentials


@dataclass(frozen=True)
class Login:
    """A user and password, or an identity token."""

    username: str
    password: str = field(repr=False)
    identity_token: str | None = field(default=None, repr=False)
    """The refresh token that the registry's token realm accepts instead of a password; None if there is none."""

    @property
    def basic(self) -> str:
        """Returns the value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Credentials(Protocol):
    """A source of logins."""

    def login(self, host: str, repository: str) -> Login | None:
        """Returns the login for ``host`` (with its port, if it has one) and ``repository``; None: anonymous."""

    def helper(self, host: str) -> str | None:
        """Returns the name of the credential helper that has the login for ``host``; None if there is none."""


class Anonymous:
    """No login for any registry."""

    def login(self, host: str, repository: str) -> Login | None:
        """Returns None."""
        return None

    def helper(self, host: str) -> str | None:
        """Returns None."""
        return None


@dataclass(frozen=True)
class StaticLogin:
    """The same user name and password for each of ``hosts``."""

    hosts: frozenset[str]
    user: Login

    def login(self, host: str, repository: str) -> Login | None:
        """Returns the login if it is for ``host``, otherwise None."""
        return self.user if host in self.hosts else None

    def helper(self, host: str) -> str | None:
        """Returns None."""
        return None


@dataclass(frozen=True)
class TokenFile:
    """The contents of ``path`` as the password of user ``token``; read at every login, because the file is renewed.

    The registry's token realm exchanges it for a short-lived token of its own. It is sent only to ``hosts`` (with
    port).
    """

    path: Path
    hosts: frozenset[str]
    username: str = "token"

    def login(self, host: str, repository: str) -> Login | None:
        """Raises InvalidCredentials when the file cannot be read or is empty."""
        if host not in self.hosts:
            return None
        try:
            token = read_text(self.path).strip()
        except UnreadableFile as error:
            raise InvalidCredentials(f"the token for {host}: {error}") from None
        if not token:
            raise InvalidCredentials(f"the token for {host} is empty: {self.path}")
        return Login(self.username, token)

    def helper(self, host: str) -> str | None:
        """Returns None."""
        return None


class DockerConfig:
    """The ``auths`` of a Docker config.json: ``auth`` (base64), or ``username`` and ``password``, or ``identitytoken``.

    Keys are hosts, with an optional scheme and path; the longest match wins. Credential helpers are not run: they are
    programs, which no Secret can hold. Their names are kept, so that a refusal can name them.
    """

    def __init__(self, value: Any, *, origin: str = "config.json") -> None:
        """Raises InvalidCredentials when ``value`` has not the form of a Docker config.json."""
        given = value if isinstance(value, dict) else {}
        self._helpers, self._store = given.get("credHelpers") or {}, given.get("credsStore") or None
        auths = given.get("auths", {} if self._helpers or self._store else None)
        if not isinstance(auths, dict) or not isinstance(self._helpers, dict):
            raise InvalidCredentials(f'{origin}: want an object {{"auths": {{"registry.example": {{…}}}}}}')
        self._logins: dict[tuple[str, str], Login] = {}
        for key, entry in auths.items():
            login = _login(entry, f"{origin}, {key}")
            if login is not None:
                self._logins[_host_and_path(key)] = login

    @classmethod
    def from_file(cls, path: Path) -> "DockerConfig":
        """Raises InvalidCredentials when the file cannot be read or has not that form."""
        try:
            value = parse_json(read_text(path))
        except UnreadableFile as error:
            raise InvalidCredentials(f"{error}: it should be Docker's config.json") from None
        except ValueError as error:
            raise InvalidCredentials(f"{path} is not Docker's config.json: {in_words(error)}") from None
        return cls(value, origin=str(path))

    def login(self, host: str, repository: str) -> Login | None:
        """Returns the login of the longest entry that fits; None if there is none."""
        wanted = _DOCKER_HUB.get(host, host)
        fitting = [
            (len(path), login)
            for (own, path), login in self._logins.items()
            if own == wanted and (not path or f"{repository}/".startswith(f"{path}/"))
        ]
        return max(fitting, key=lambda item: item[0])[1] if fitting else None

    def helper(self, host: str) -> str | None:
        """Returns the name of the program to which the file leaves the login for ``host``; None if there is none."""
        own = {_host_and_path(key)[0]: name for key, name in self._helpers.items()}
        return own.get(_DOCKER_HUB.get(host, host), self._store)


class FirstOf:
    """Several sources of credentials; the first that knows the host is taken."""

    def __init__(self, sources: Collection[Credentials]) -> None:
        self._sources = tuple(sources)

    def login(self, host: str, repository: str) -> Login | None:
        """Returns the first login that a source has; None if none has one."""
        return next((login for source in self._sources if (login := source.login(host, repository))), None)

    def helper(self, host: str) -> str | None:
        """Returns the first name of a helper that a source has; None if none has one."""
        return next((name for source in self._sources if (name := source.helper(host))), None)


_DOCKER_HUB = dict.fromkeys(("docker.io", "index.docker.io", "registry-1.docker.io"), "docker.io")


def _host_and_path(key: str) -> tuple[str, str]:
    bare = key.removeprefix("https://").removeprefix("http://")
    host, _, path = bare.partition("/")
    path = path.strip("/")
    if path in {"v1", "v2"}:  # API versions that old tools wrote, not repositories
        path = ""
    return _DOCKER_HUB.get(host, host), path


def _login(entry: Any, origin: str) -> Login | None:
    if not isinstance(entry, dict):
        raise InvalidCredentials(f"{origin}: want an object")
    if token := entry.get("identitytoken"):
        return Login(str(entry.get("username", "")), "", str(token))
    if entry.get("auth"):
        try:
            username, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except (binascii.Error, TypeError, ValueError):
            raise InvalidCredentials(f"{origin}: 'auth' is not base64 of user:password") from None
        if not colon:
            raise InvalidCredentials(f"{origin}: 'auth' is not base64 of user:password")
        return Login(username, password.rstrip("\0"))
    if entry.get("username"):
        return Login(str(entry["username"]), str(entry.get("password", "")))
    return None
