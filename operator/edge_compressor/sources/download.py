"""The download of one file over HTTP: streamed, limited, resumed after a broken connection, and only from allowed
hosts."""

import base64
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, SSLError

from edge_oci.transport import continues
from edge_oci.urls import NoUrl, join_url
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled, Transient
from edgemodel.user_files import UnreadableFile, read_text
from edgemodel.whole_number import whole_number

MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Request:
    """A file to download, and its conditions. ``authorization`` is sent to the host of ``url`` and to no other."""

    what: str
    """The beginning of every message: source, calibration set or evaluation set."""
    url: str
    limit_bytes: int
    permits: Callable[[str], bool]
    """A function that returns whether a ``host[:port]`` may be contacted."""
    authorization: str | None = None
    verified: bool = False
    """True if a digest is known and checked later, so that a resumed download needs no validator, and plain HTTP is
    safe."""
    too_large: str = reasons.SOURCE_INVALID
    admit: Callable[[int, bool], None] = lambda _size, _announced: None
    """A function that raises for a number of bytes for which there is no room. It is called with the announced size and
    True before anything is written, or, if none is announced, with the bytes so far and False."""


@dataclass(frozen=True)
class Downloader:
    """A downloader, which gives up after ``tries`` attempts in a row without a byte; the pauses between them are about
    1, 2, 4 s."""

    tries: int = 4
    first_pause_seconds: float = 1.0
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def load(self, request: Request, path: Path, progress: Callable[[int], None] = lambda _: None) -> None:
        """Writes the file to ``path``.

        Raises Stalled with SourceNotFound, SourceUnauthorized, SourceNotAllowed or ``too_large``, Transient with
        SourceUnreachable, and what ``Request.admit`` raises.
        """
        timeout = urllib3.Timeout(connect=self.connect_timeout_seconds, read=self.read_timeout_seconds)
        with urllib3.PoolManager(timeout=timeout, retries=False) as pool, path.open("wb") as file:
            one = _Download(pool, request, file, progress)
            failures = 0
            while True:
                before = file.tell()
                try:
                    return one.go_on()
                except _Broken as error:
                    failures = 1 if file.tell() > before else failures + 1
                    if failures >= self.tries:
                        message = f"{request.what}: {error} ({failures} tries)"
                        raise Transient(reasons.SOURCE_UNREACHABLE, message) from error
                    self.sleep(self.first_pause_seconds * 2.0 ** (failures - 1))


def authorization_from(folder: Path) -> str | None:
    """Returns the header for the keys of a mounted Secret: ``token``, or ``username`` and ``password``; None without
    them.

    Raises Stalled(SourceUnauthorized) for half a pair, and for keys that are no text of a header.
    """
    try:
        parts = {name: read_text(folder / name).strip() for name in _KEYS if (folder / name).exists()}
    except UnreadableFile as error:
        raise Stalled(reasons.SOURCE_UNAUTHORIZED, f"the secret: {error}") from error
    if not (parts.get("token", "x").isascii() and parts.get("token", "x").isprintable()):
        raise Stalled(reasons.SOURCE_UNAUTHORIZED, "the secret's token has characters that no header can carry")
    if "token" in parts:
        return f"Bearer {parts['token']}"
    if not parts:
        return None
    if parts.keys() != {"username", "password"}:
        missing = ({"username", "password"} - parts.keys()).pop()
        raise Stalled(
            reasons.SOURCE_UNAUTHORIZED, f"the secret has no key {missing!r}; want username and password, or token"
        )
    return "Basic " + base64.b64encode(f"{parts['username']}:{parts['password']}".encode()).decode()


def shown(url: str) -> str:
    """Returns ``url`` for logs, reports and manifests: without user, password and query, which may hold a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


_KEYS: Final = ("username", "password", "token")


class _Broken(Exception):
    """An attempt ended early; another may get further."""


class _Download:
    def __init__(
        self, pool: urllib3.PoolManager, request: Request, file: BinaryIO, progress: Callable[[int], None]
    ) -> None:
        self._pool, self._request, self._file, self._progress = pool, request, file, progress
        self._validator: str | None = None

    def go_on(self) -> None:
        """Continues where the last attempt broke, or starts from the beginning. Raises _Broken."""
        have = self._file.tell()
        if have and not (self._validator or self._request.verified):
            have = self._begin_again()
        answer = self._ask(have)
        try:
            self._check(answer)
            if have and not continues(answer, have):
                have = self._begin_again()
            etag = answer.headers.get("ETag", "")
            self._validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
            announced = _length_of(answer)
            self._limit(have + announced)
            if announced:
                self._request.admit(have + announced, True)
            for data in answer.stream(_CHUNK_BYTES, decode_content=False):
                self._limit(self._file.tell() + len(data))
                if not announced:
                    self._request.admit(self._file.tell() + len(data), False)
                self._file.write(data)
                self._progress(self._file.tell())
        except HTTPError as error:
            raise _Broken(
                f"{shown(self._request.url)} broke off after {self._file.tell()} bytes: {in_words(error)}"
            ) from error
        finally:
            answer.close()

    def _begin_again(self) -> int:
        self._file.seek(0)
        self._file.truncate()
        return 0

    def _ask(self, have: int) -> urllib3.BaseHTTPResponse:
        url, authorization = self._request.url, self._request.authorization
        headers = {"Accept-Encoding": "identity", "User-Agent": "edgemodel-compressor"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._validator:
                headers["If-Range"] = self._validator
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._once(url, headers | ({"Authorization": authorization} if authorization else {}))
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not target:
                return answer
            answer.close()
            try:
                following = join_url(url, target)
            except NoUrl as error:
                raise self._refused(f"{shown(self._request.url)} redirects, and {error}") from None
            if _origin(following) != _origin(url):
                authorization = None
            self._check_redirect(url, following)
            url = following
        raise self._refused(f"{shown(self._request.url)} redirects more than {MAX_REDIRECTS} times")

    def _once(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request("GET", url, headers=dict(headers), redirect=False, preload_content=False)
        except SSLError as error:
            raise self._refused(f"{urlsplit(url).netloc}: {in_words(error)}") from error
        except NameResolutionError as error:
            cause = error.__cause__
            if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN:
                raise _Broken(f"no address for {urlsplit(url).hostname}: {in_words(error)}") from error
            message = f"{self._request.what}: no address for {urlsplit(url).hostname}: correct the uri"
            raise Stalled(reasons.SOURCE_NOT_FOUND, message) from error
        except HTTPError as error:
            raise _Broken(f"{shown(url)} cannot be reached: {in_words(error)}") from error

    def _check(self, answer: urllib3.BaseHTTPResponse) -> None:
        if answer.status in (200, 206):
            return
        name = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else "no known status"
        message = f"{shown(self._request.url)} answered {answer.status} ({name})"
        if answer.status in _PASSING:
            raise _Broken(message)
        if answer.status in (401, 403):
            cure = "these credentials are refused" if self._request.authorization else "it needs a secretRef"
            raise Stalled(reasons.SOURCE_UNAUTHORIZED, f"{self._request.what}: {message}: {cure}")
        if answer.status == 416:
            self._begin_again()
            raise _Broken(message)
        raise Stalled(reasons.SOURCE_NOT_FOUND, f"{self._request.what}: {message}: correct the uri")

    def _check_redirect(self, url: str, following: str) -> None:
        parts = urlsplit(following)
        if parts.scheme not in ("http", "https") or (parts.scheme == "http" and urlsplit(url).scheme == "https"):
            raise self._refused(f"{shown(url)} leads from {urlsplit(url).scheme} to {parts.scheme}")
        if not self._request.permits(parts.netloc):
            raise self._refused(f"{shown(url)} leads to {parts.netloc}, which is not on the list of allowed hosts")

    def _limit(self, size: int) -> None:
        if size > self._request.limit_bytes:
            message = f"{self._request.what}: more than {self._request.limit_bytes} bytes, the limit"
            raise Stalled(self._request.too_large, message)

    def _refused(self, message: str) -> Stalled:
        return Stalled(reasons.SOURCE_NOT_ALLOWED, f"{self._request.what}: {message}")


def _length_of(answer: urllib3.BaseHTTPResponse) -> int:
    """Returns the announced length in bytes; 0 if none or an invalid one is announced."""
    return whole_number(answer.headers.get("Content-Length", "")) or 0


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
