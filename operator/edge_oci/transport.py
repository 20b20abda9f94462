"""One HTTP request, tried a bounded number of times; it knows nothing of registries.

After an answer 408, 425, 429 or 5xx and after a broken connection the request is sent again, after the time in
Retry-After or an exponential back-off. Certificate and DNS errors are not retried, since waiting mends neither.
"""

import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, SSLError

from edgemodel.error_words import in_words, plain
from edgemodel.whole_number import whole_number

from .errors import (
    BlobTooLarge,
    Denied,
    InvalidCredentials,
    NoSuchHost,
    RegistryError,
    RegistryNotFound,
    Unauthorized,
    Unreachable,
    UntrustedCertificate,
)
from .urls import NoUrl, join_url

Response = urllib3.BaseHTTPResponse

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_ERROR_BYTES = 2048
_MIN_SECRET = 8
"""Characters by which credentials are recognised."""
_MAX_ANSWER_BYTES = 16 << 20
"""The limit of an answer that is read at once, such as a token or a page of a list."""
_READ_BYTES = 1 << 16
_BY_STATUS: Mapping[int, type[RegistryError]] = {401: Unauthorized, 403: Denied, 404: RegistryNotFound}


@dataclass(frozen=True)
class Patience:
    """The limits of retrying: ``tries`` in all, with pauses of about 0.5, 1, 2, 4 s."""

    tries: int = 5
    first_pause_seconds: float = 0.5
    max_pause_seconds: float = 30.0
    max_retry_after_seconds: float = 120.0
    """The longest pause that is waited for; if a registry asks for a longer one, the failure is reported at once."""
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int) -> None:
        """Sleeps after the ``failures``-th failure (from 1)."""
        spread = 0.5 + random.random()  # noqa: S311 - so that many nodes do not come back in step
        self.sleep(min(self.max_pause_seconds, self.first_pause_seconds * 2 ** (failures - 1) * spread))


@cache
def _system_trust() -> ssl.SSLContext:
    """Returns the context that trusts the system's authorities; it is made once a process, as it takes a tenth of a
    second."""
    return ssl.create_default_context()


class Transport:
    """The connections of a program, with their trust and their patience."""

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        plain_http_hosts: Collection[str] = (),
        patience: Patience | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 60.0,
    ) -> None:
        """``ca_file`` (PEM) is trusted besides the system's. Raises InvalidCredentials when it cannot be read."""
        self.patience = patience or Patience()
        self.plain_http_hosts = frozenset(plain_http_hosts)
        context = _system_trust()
        if ca_file is not None:
            context = ssl.create_default_context()
            try:
                context.load_verify_locations(cafile=ca_file)
            except OSError as error:
                raise InvalidCredentials(f"{ca_file}: not a file of PEM certificates: {in_words(error)}") from None
        timeout = urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=8, ssl_context=context)

    def scheme(self, host: str) -> str:
        """Returns ``http`` for a host that was named as one that speaks plain HTTP, otherwise ``https``."""
        return "http" if host in self.plain_http_hosts else "https"

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        expect: Collection[int] = (200,),
        stream: bool = False,
        tries: int | None = None,
    ) -> Response:
        """Returns the answer, whose status is one of ``expect``.

        ``stream`` leaves its body unread; the caller reads and releases it. Raises RegistryError (by status:
        Unauthorized, Denied, RegistryNotFound), Unreachable, UntrustedCertificate.
        """
        most = self.patience.tries if tries is None else tries
        failures = 0
        while True:
            try:
                answer = self._follow(method, url, headers, body)
                if answer.status in expect:
                    return answer if stream else _read_whole(answer, method, url)
            except Unreachable as error:
                failures += 1
                if failures >= most or not error.worth_a_retry:
                    raise
                self.patience.pause(failures)
                continue
            failures += 1
            refusal = _refusal(answer.status, method, url, _error_text(answer, headers))
            if not refusal.transient or failures >= most:
                raise refusal
            self._pause_as_asked(answer, failures, refusal)

    def _pause_as_asked(self, answer: Response, failures: int, refusal: RegistryError) -> None:
        asked = _retry_after_seconds(answer.headers.get("Retry-After"))
        if asked is None:
            self.patience.pause(failures)
        elif asked > self.patience.max_retry_after_seconds:
            raise refusal
        else:
            self.patience.sleep(asked)

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        """Sends the request once. A redirect to another host (a registry's object store) does not get the
        credentials."""
        sent = dict(headers)
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._once(method, url, sent, body)
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or method not in {"GET", "HEAD"} or not target:
                return answer
            answer.close()  # its body may have any length
            try:
                following = join_url(url, target)
            except NoUrl as error:
                raise Unreachable(f"{_what(method, url)}: it redirects, and {error}", transient=False) from None
            if urlsplit(following).netloc != urlsplit(url).netloc:
                sent.pop("Authorization", None)
            self.check_scheme(url, following)
            url = following
        raise Unreachable(f"{_what(method, url)}: more than {_MAX_REDIRECTS} redirects", transient=False)

    def check_scheme(self, url: str, following: str) -> None:
        """Raises Unreachable where an https registry leads to plain HTTP that the caller has not named."""
        there = urlsplit(following)
        if urlsplit(url).scheme == "https" and there.scheme != "https" and there.netloc not in self.plain_http_hosts:
            raise Unreachable(
                f"{urlsplit(url).netloc} leads from https to {there.scheme}://{there.netloc}", transient=False
            )

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        try:
            return self._pool.urlopen(
                method, url, headers=dict(headers), body=body, redirect=False, retries=False, preload_content=False
            )
        except SSLError as error:
            if isinstance(error.args[0], ssl.SSLEOFError | ssl.SSLZeroReturnError):
                raise Unreachable(f"{_what(method, url)}: {in_words(error)}") from error
            raise UntrustedCertificate(
                f"{urlsplit(url).netloc}: {in_words(error)}; name the certificate authority that signed it, "
                "or, if the registry speaks plain HTTP, name the host as one that does "
                "(--plain-http on the command line, operator.plainHTTPHosts in the chart)"
            ) from error
        except NameResolutionError as error:
            passing = isinstance(error.__cause__, socket.gaierror) and error.__cause__.errno == socket.EAI_AGAIN
            raise NoSuchHost(
                f"no address for {urlsplit(url).hostname}: {in_words(error)}", transient=passing
            ) from error
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{_what(method, url)}: {in_words(error)}") from error


def continues(answer: Response, have: int) -> bool:
    """Returns whether ``answer`` has the rest of a file whose first ``have`` bytes are there; otherwise it has the
    whole file."""
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def read_within(answer: Response, limit_bytes: int, what: str) -> bytes:
    """Returns the body of ``answer``. Raises BlobTooLarge beyond the limit, whatever length is announced, and
    Unreachable if the body is cut."""
    found = bytearray()
    try:
        for data in answer.stream(_READ_BYTES):
            found += data
            if len(found) > limit_bytes:
                raise BlobTooLarge(f"{what}: the answer has more than {limit_bytes} bytes")
    except HTTPError as error:
        raise Unreachable(f"{what}: {in_words(error)}") from error
    except BlobTooLarge:
        answer.close()
        raise
    answer.release_conn()
    return bytes(found)


def _read_whole(answer: Response, method: str, url: str) -> Response:
    """Returns an answer that is read to its end, and holds no connection."""
    data = read_within(answer, _MAX_ANSWER_BYTES, _what(method, url))
    return urllib3.HTTPResponse(data, answer.headers, answer.status, decode_content=False)


def _error_text(answer: Response, headers: Mapping[str, str]) -> str:
    """Returns the text of an error, without the credentials of the request, which some proxies send back."""
    secret = headers.get("Authorization", "").rpartition(" ")[2]
    try:
        text = answer.read(_MAX_ERROR_BYTES).decode(errors="replace")
        if secret:  # the end of the text may have cut it
            text = re.sub(re.escape(secret[:_MIN_SECRET]) + r"[!-~]*", "(credentials)", text)
        return plain(text)
    except HTTPError:
        return ""
    finally:
        answer.close()


def _refusal(status: int, method: str, url: str, text: str) -> RegistryError:
    said = f": {text}" if text else ""
    return _BY_STATUS.get(status, RegistryError)(status, f"{_what(method, url)}: the registry answered {status}{said}")


def _what(method: str, url: str) -> str:
    """Returns the request for messages, without the query, which may hold an upload's state or a signature."""
    parts = urlsplit(url)
    return f"{method} {parts.netloc}{parts.path}"


def _retry_after_seconds(text: str | None) -> float | None:
    """Returns the seconds of a Retry-After header, which holds seconds or a date; None if it is absent or neither."""
    if text is None:
        return None
    if (seconds := whole_number(text)) is not None:
        return float(seconds)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
