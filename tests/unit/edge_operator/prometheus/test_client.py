"""The client of Prometheus' API: credentials, certificates, clocks, and invalid answers."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from edge_operator.prometheus import Prometheus, PrometheusError, PrometheusSettings
from edge_operator.prometheus import client as module
from tests.support.prometheus import run_prometheus
from tests.unit.edge_oci import realm

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = {"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}
BCRYPT_OF_PROMETHEUS_TEST = "$2b$04$gdM1ijMV1b6hvZoyPkFBFOySvquF5HCLuemrPxyElvQs7pe4MHS9K"


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[str]:
    """Yields the address of a server that gives every query this answer."""
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(url: str, **settings: Any) -> float:
    async with Prometheus(PrometheusSettings(url, **settings)) as prometheus:
        (sample,) = await prometheus.vector("1", NOW)
        return sample.value


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


async def seen_by_server(url_path: str = "", **settings: Any) -> web.Request:
    requests = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        await request.post()
        return web.json_response(ONE)

    async with served(answer) as url:
        assert await ask(url + url_path, **settings) == 1
    return requests[0]


# --- credentials ---


async def test_a_token_is_sent_as_bearer(tmp_path: Path) -> None:
    request = await seen_by_server(credentials=write(tmp_path / "secret", token="abc\n"))
    assert request.headers["Authorization"] == "Bearer abc"


async def test_a_user_name_and_password_are_sent_as_basic(tmp_path: Path) -> None:
    request = await seen_by_server(credentials=write(tmp_path / "secret", username="edge", password="geheim"))
    assert request.headers["Authorization"] == "Basic ZWRnZTpnZWhlaW0="


async def test_headers_of_a_tenant_are_sent_along_and_without_a_secret_nothing_else() -> None:
    request = await seen_by_server(headers={"X-Scope-OrgID": "edge"})
    assert request.headers["X-Scope-OrgID"] == "edge"
    assert "Authorization" not in request.headers


async def test_the_path_of_the_url_is_kept() -> None:
    assert (await seen_by_server("/prom/")).path == "/prom/api/v1/query"


async def test_a_token_that_is_renewed_is_used_from_then_on(tmp_path: Path) -> None:
    folder = write(tmp_path / "secret", token="old")
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response(ONE)

    async with served(answer) as url, Prometheus(PrometheusSettings(url, credentials=folder)) as prometheus:
        await prometheus.vector("1", NOW)
        write(folder, token="new")
        await prometheus.vector("1", NOW)
    assert seen == ["Bearer old", "Bearer new"]


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns keys and self-signed certificates of a server and of a client."""
    folder = tmp_path_factory.mktemp("tls")
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = realm.certificate(name, key, addresses=[here])
        (folder / f"{name}.crt").write_bytes(realm.pem(certificate))
        (folder / f"{name}.key").write_bytes(realm.pem(key))
    return folder


def web_configuration(private: Path, client: bool = False) -> str:
    own = {"cert_file": f"{private}/server.crt", "key_file": f"{private}/server.key"}
    if client:
        own |= {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": f"{private}/client.crt"}
    return json.dumps({"tls_server_config": own, "basic_auth_users": {"edge": BCRYPT_OF_PROMETHEUS_TEST}})


@pytest.mark.lab_programs
async def test_prometheus_own_tls_and_password_are_met(tmp_path: Path, private: Path) -> None:
    with run_prometheus(tmp_path / "prometheus", web=web_configuration(private)) as address:
        url = f"https://{address}"
        ca = (private / "server.crt").read_text()
        right = write(tmp_path / "right", username="edge", password="prometheus-test", ca_crt=ca)
        assert await ask(url, credentials=right) == 1
        wrong = write(tmp_path / "wrong", username="edge", password="other", ca_crt=ca)
        with pytest.raises(PrometheusError, match=r"401: give it credentials \(chart value prometheus\.secretRef"):
            await ask(url, credentials=wrong)
        untrusted = write(tmp_path / "untrusted", username="edge", password="prometheus-test")
        with pytest.raises(PrometheusError, match="its certificate is not trusted here"):
            await ask(url, credentials=untrusted)


@pytest.mark.lab_programs
async def test_prometheus_that_wants_our_certificate_gets_it(tmp_path: Path, private: Path) -> None:
    files = {"ca_crt": "server.crt", "tls_crt": "client.crt", "tls_key": "client.key"}
    own = {name: (private / file).read_text() for name, file in files.items()}
    with run_prometheus(tmp_path / "prometheus", web=web_configuration(private, client=True)) as address:
        both = write(tmp_path / "both", username="edge", password="prometheus-test", **own)
        assert await ask(f"https://{address}", credentials=both) == 1
        own = {"ca_crt": own["ca_crt"]}
        without = write(tmp_path / "without", username="edge", password="prometheus-test", **own)
        with pytest.raises(PrometheusError):
            await ask(f"https://{address}", credentials=without)


async def test_invalid_certificates_are_reported(tmp_path: Path) -> None:
    with pytest.raises(PrometheusError, match="certificates of the Secret cannot be used"):
        await ask("https://127.0.0.1:9", credentials=write(tmp_path / "secret", ca_crt="no certificate"))


# --- missing and invalid answers ---


async def test_an_unreachable_server() -> None:
    with pytest.raises(PrometheusError, match=r"http://127\.0\.0\.1:9: .*(refused|Connect call failed)"):
        await ask("http://127.0.0.1:9")


async def test_no_name_of_that_kind() -> None:
    with pytest.raises(PrometheusError, match=r"http://nowhere\.invalid:9090"):
        await ask("http://nowhere.invalid:9090")


async def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    gone = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await gone.wait()
        return web.json_response(ONE)

    async with served(answer) as url:
        with pytest.raises(PrometheusError, match="no answer before the timeout"):
            await ask(url)
        gone.set()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "<html>", "answers otherwise than Prometheus does"),
        (200, "{}", "answers otherwise"),
        (200, '{"status": "success", "data": 7}', "answers otherwise"),
        (200, '{"status": "success", "data": {"resultType": "vector", "result": [{}]}}', "answers otherwise"),
        (200, '{"status": "success", "data": {"resultType": "matrix", "result": []}}', "gives a matrix"),
        (200, '{"status": "error", "errorType": "execution", "error": "too many samples"}', "too many samples"),
        (400, '{"status": "error", "errorType": "bad_data", "error": "parse error"}', "400: parse error"),
        (403, "", "403: give it credentials"),
        (502, "<html>bad gateway</html>", "502: <html>bad gateway"),
        (503, '{"status": "error", "errorType": "timeout", "error": "query timed out"}', "503: query timed out"),
        (302, "", "302, a redirect: name the address"),
    ],
)
async def test_invalid_answers_are_reported_with_their_text(status: int, body: str, said: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "http://127.0.0.1:9/"})

    async with served(answer) as url:
        with pytest.raises(PrometheusError, match=said):
            await ask(url)


async def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 1 << 20)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(40):
            await response.write(b" " * (1 << 16))
        return response

    async with served(answer) as url:
        with pytest.raises(PrometheusError, match="more than 1 MiB"):
            await ask(url)


async def test_credentials_are_not_in_any_message(tmp_path: Path) -> None:
    folder = write(tmp_path / "secret", token="s3cret")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500, text="broken")

    async with served(answer) as url:
        with pytest.raises(PrometheusError) as raised:
            await ask(url, credentials=folder)
    assert "s3cret" not in str(raised.value)


# --- clocks ---


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(minutes=-10), timedelta(hours=3)])
async def test_prometheus_is_queried_by_its_own_clock(ahead: timedelta) -> None:
    """Our own time is used if there is no usable Date, and for a difference of seconds."""
    asked: list[float] = []

    async def answer(request: web.Request) -> web.Response:
        form = await request.post()
        asked.append(float(str(form["time"])))
        date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
        return web.json_response(ONE, headers={"Date": date})

    async with served(answer) as url, Prometheus(PrometheusSettings(url)) as prometheus:
        await prometheus.vector("1", NOW)
        await prometheus.vector("1", NOW)
    assert asked[0] == NOW.timestamp()
    assert asked[1] == pytest.approx((NOW + ahead).timestamp(), abs=3)


@pytest.mark.parametrize("date", ["yesterday", "", None])
async def test_an_invalid_date_is_ignored(date: str | None) -> None:
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as prometheus:
        prometheus.learn_clock(date)
        assert prometheus.ahead == timedelta()
        prometheus.learn_clock(format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True))
        assert prometheus.ahead == timedelta()
