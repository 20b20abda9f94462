"""A client of Prometheus' HTTP API: bounded in time and size, with the credentials of its Secret."""

import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp

from edge_operator.decide.measurement import Sample
from edgemodel.error_words import in_words, plain
from edgemodel.json_text import parse_json

TIMEOUT_SECONDS = 15
MAX_ANSWER_BYTES = 64 << 20
MESSAGE_MAX = 300
MAX_AHEAD = timedelta(days=100 * 365)
"""The limit of what can be a wrong clock: boards without a battery begin in 1970."""


class PrometheusError(Exception):
    """Prometheus did not answer, or refused; the message is for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:MESSAGE_MAX])


@dataclass(frozen=True)
class PrometheusSettings:
    """The address of Prometheus, and how it is queried."""

    url: str
    """The URL without the path of the API, such as ``http://prometheus.monitoring.svc:9090``; a prefix is kept."""
    credentials: Path | None = None
    """The folder of a mounted Secret; each file is optional, and read again when it changes.

    The files are ``token``, or ``username`` and ``password``; ``ca.crt``; ``tls.crt`` and ``tls.key``.
    """
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers, such as that of a tenant."""
    answers_users: bool = True
    """True if queries of users are passed on: whoever may write an EdgeModel can then read one number at a time."""


class Prometheus:
    """A client of Prometheus, for ``async with Prometheus(settings) as prometheus``."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.settings = settings
        self.ahead = timedelta()
        """The time by which Prometheus' clock, in its last answer, is ahead of ours: the clocks of boards are often
        wrong."""
        self._session: aiohttp.ClientSession | None = None
        self._tls: tuple[tuple[float, ...], ssl.SSLContext] | None = None

    async def __aenter__(self) -> "Prometheus":
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, connect=5)
        self._session = aiohttp.ClientSession(timeout=timeout, headers=dict(self.settings.headers))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def vector(self, query: str, at: datetime) -> list[Sample]:
        """Returns the instant vector of ``query`` at ``at`` by our clock; a scalar is one sample without labels.

        Raises PrometheusError.
        """
        status, body = await self._post(query, at)
        try:
            return _samples(_data(status, body))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PrometheusError(
                f"{self.settings.url} answers otherwise than Prometheus does: {in_words(error)}"
            ) from error

    async def _post(self, query: str, at: datetime) -> tuple[int, bytes]:
        assert self._session is not None
        url = f"{self.settings.url.rstrip('/')}/api/v1/query"
        form = {"query": query, "time": f"{(at + self.ahead).timestamp():.3f}", "timeout": f"{TIMEOUT_SECONDS}s"}
        headers, context = self._authorization(), self._context()
        try:
            async with self._session.post(
                url, data=form, headers=headers, ssl=context, allow_redirects=False
            ) as answer:
                self.learn_clock(answer.headers.get("Date"))
                return answer.status, await _read(answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            what = "no answer before the timeout" if isinstance(error, TimeoutError) else in_words(error)
            raise PrometheusError(f"{self.settings.url}: {what}") from error

    def learn_clock(self, date: str | None) -> None:
        """Sets ``ahead`` from the Date header of an answer."""
        if date is None:
            return
        try:
            ahead = parsedate_to_datetime(date) - datetime.now(UTC)
        except (TypeError, ValueError):
            return
        if abs(ahead) > MAX_AHEAD:
            return
        # The header has whole seconds, and the answer took its time.
        self.ahead = ahead if abs(ahead) > timedelta(seconds=5) else timedelta()

    def _authorization(self) -> dict[str, str]:
        token = self._secret("token")
        if token:
            return {"Authorization": f"Bearer {token}"}
        username = self._secret("username")
        if username:
            words = f"{username}:{self._secret('password') or ''}".encode()
            return {"Authorization": f"Basic {b64encode(words).decode()}"}
        return {}

    def _secret(self, name: str) -> str | None:
        """Returns the contents of a file of the Secret; None if it does not exist. Raises PrometheusError if it cannot
        be read."""
        folder = self.settings.credentials
        if folder is None or not (folder / name).exists():
            return None
        try:
            return (folder / name).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PrometheusError(f"the Secret's {name} cannot be read: {in_words(error)}") from error

    def _context(self) -> ssl.SSLContext | bool:
        """Returns the Secret's certificates; True: the system's. Raises PrometheusError if they are invalid."""
        folder = self.settings.credentials
        files = [folder / name for name in ("ca.crt", "tls.crt", "tls.key") if folder and (folder / name).exists()]
        if folder is None or not files:
            return True
        changed = tuple(file.stat().st_mtime for file in files)
        if self._tls is None or self._tls[0] != changed:
            try:
                context = ssl.create_default_context(cafile=folder / "ca.crt" if (folder / "ca.crt") in files else None)
                if (folder / "tls.crt") in files:
                    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
            except (OSError, ValueError) as error:
                raise PrometheusError(f"the certificates of the Secret cannot be used: {in_words(error)}") from error
            self._tls = (changed, context)
        return self._tls[1]


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in answer.content.iter_chunked(1 << 16):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise PrometheusError(f"the answer has more than {MAX_ANSWER_BYTES >> 20} MiB")
        chunks.append(chunk)
    return b"".join(chunks)


def _data(status: int, body: bytes) -> dict[str, Any]:
    """Returns the data of an answer. Raises PrometheusError for a refusal, ValueError for anything but JSON."""
    if status in (401, 403):
        raise PrometheusError(f"Prometheus answered {status}: give it credentials (chart value prometheus.secretRef)")
    if 300 <= status < 400:
        raise PrometheusError(f"Prometheus answered {status}, a redirect: name the address that it leads to")
    try:
        answer = parse_json(body)
    except ValueError as error:
        if status >= 400:
            raise PrometheusError(
                f"Prometheus answered {status}: {plain(body[:200].decode(errors='replace'))}"
            ) from error
        raise
    if status >= 400 or answer["status"] != "success":
        raise PrometheusError(f"Prometheus answered {status}: {answer.get('error', 'no reason')}")
    data: dict[str, Any] = answer["data"]
    return data


def _sample(item: Any) -> Sample:
    """Returns an element of an instant vector. Raises ValueError for anything else."""
    match item:
        case {"metric": dict(labels), "value": [_, str(value)]} if all(isinstance(one, str) for one in labels.values()):
            return Sample(labels, float(value))
        case _:
            raise ValueError("an element of a vector lacks labels that are strings, or a pair of a time and a string")


def _samples(data: dict[str, Any]) -> list[Sample]:
    match data.get("resultType"), data.get("result"):
        case "vector", list(items):
            return [_sample(item) for item in items]
        case "scalar", [_, str(value)]:
            return [Sample({}, float(value))]
        case "scalar", _:
            raise ValueError("a scalar is not a pair of a time and a string")
        case _:
            raise PrometheusError(f"the query gives a {data.get('resultType')}, want an instant vector or a scalar")
