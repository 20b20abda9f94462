"""A namespace can push under its own name, and under no other."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import urllib3
from aiohttp import ClientSession, encode_basic_auth, web
from aiohttp.test_utils import TestServer
from cryptography import x509

from edge_operator.cluster import Cluster
from edge_operator.job_endpoints import make_signer
from edge_operator.job_endpoints.registry_tokens import (
    CATALOG_SCOPE,
    Access,
    Signer,
    grant,
    make_keys,
    parse_scopes,
    reviewed_namespace,
    sign_for_operator,
    token_handler,
    token_review,
)
from edgemodel.errors import Stalled, Transient
from tests.unit.chart.registry_program import serve

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SERVICE = "edgemodel-registry"
TOKENS = {"token-of-vision": "vision", "token-of-audio": "audio"}


async def review(token: str) -> str | None:
    if token == "api-server-away":
        raise Transient("ApiServerUnreachable", "connection refused")
    return TOKENS.get(token)


@pytest.fixture(scope="module")
def keys() -> tuple[bytes, bytes]:
    return make_keys()


@pytest.fixture
async def realm(keys: tuple[bytes, bytes]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/token", token_handler(Signer(*keys), review))
    async with TestServer(app) as server:
        yield str(server.make_url("/token"))


async def ask(realm: str, password: str | None, scope: str | None = None, service: str = SERVICE) -> tuple[int, Any]:
    parameters = {"service": service, **({"scope": scope} if scope else {})}
    headers = {"Authorization": encode_basic_auth("anybody", password)} if password is not None else {}
    async with ClientSession() as session, session.get(realm, params=parameters, headers=headers) as answer:
        return answer.status, await answer.json()


def read(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


# --- what is granted ---


def test_a_namespace_gets_pull_and_push_below_its_own_name() -> None:
    assert grant("vision", [Access("vision/defects", ("pull", "push"))]) == [Access("vision/defects", ("pull", "push"))]


@pytest.mark.parametrize(
    "repository",
    ["audio/words", "vision", "visions/defects", "vision-2/defects", "/vision/defects", "x/vision/defects", ""],
)
def test_a_namespace_gets_nothing_elsewhere(repository: str) -> None:
    assert grant("vision", [Access(repository, ("pull", "push"))]) == []


@pytest.mark.parametrize("action", ["delete", "*", "admin", ""])
def test_a_namespace_gets_no_other_action(action: str) -> None:
    assert grant("vision", [Access("vision/defects", (action,))]) == []
    assert grant("vision", [Access("vision/defects", (action, "pull"))]) == [Access("vision/defects", ("pull",))]


def test_scopes_come_as_several_parameters_or_apart_by_spaces() -> None:
    assert parse_scopes(["repository:a/b:pull,push repository:c/d:pull", "repository:e/f:push,push"]) == [
        Access("a/b", ("pull", "push")),
        Access("c/d", ("pull",)),
        Access("e/f", ("push",)),
    ]


def test_a_repository_may_carry_a_host_with_its_port() -> None:
    assert parse_scopes(["repository:host:5000/a/b:pull"]) == [Access("host:5000/a/b", ("pull",))]


@pytest.mark.parametrize("scope", ["", "registry:catalog:*", "repository", "repository:a/b", "repository::pull", "::"])
def test_scopes_other_than_repositories_are_ignored(scope: str) -> None:
    assert parse_scopes([scope]) == []


# --- the contents of the token ---


def test_a_token_is_signed_with_the_key_of_the_certificate_in_its_header(keys: tuple[bytes, bytes]) -> None:
    token = Signer(*keys).sign("vision", [Access("vision/defects", ("pull",))], datetime.now(UTC))
    header = jwt.get_unverified_header(token)
    assert header["alg"] == "ES256"
    (encoded,) = header["x5c"]
    certificate = x509.load_der_x509_certificate(base64.b64decode(encoded))
    assert certificate == x509.load_pem_x509_certificate(keys[1])
    claims = jwt.decode(token, certificate.public_key(), ["ES256"], audience=SERVICE, issuer="edgemodel-operator")  # type: ignore[arg-type]  # an elliptic-curve key
    assert claims["sub"] == "vision"
    assert claims["access"] == [{"type": "repository", "name": "vision/defects", "actions": ["pull"]}]


def test_a_token_is_good_for_five_minutes(keys: tuple[bytes, bytes]) -> None:
    claims = read(Signer(*keys).sign("vision", [], NOW))
    assert claims["exp"] - claims["iat"] == 300
    assert claims["iat"] == int(NOW.timestamp())


def test_no_two_tokens_are_the_same(keys: tuple[bytes, bytes]) -> None:
    signer = Signer(*keys)
    assert signer.sign("vision", [], NOW) != signer.sign("vision", [], NOW)


def test_the_certificate_holds_on_a_board_whose_clock_starts_in_the_past(keys: tuple[bytes, bytes]) -> None:
    certificate = x509.load_pem_x509_certificate(keys[1])
    assert certificate.not_valid_before_utc <= datetime(1970, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc > datetime(2200, 1, 1, tzinfo=UTC)


def test_a_key_and_a_certificate_of_another_are_refused(keys: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        Signer(keys[0], make_keys()[1])


# --- whose token it is ---


class OneSecret(Cluster):
    """A cluster whose only object is a Secret."""

    def __init__(self, data: dict[str, str] | None) -> None:
        super().__init__(None)
        self.data = data

    async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Any:
        return {"kind": kind, "metadata": {"name": name}, **({} if self.data is None else {"data": self.data})}


async def test_the_keys_of_a_secret_sign(keys: tuple[bytes, bytes]) -> None:
    key, certificate = (base64.b64encode(text).decode() for text in keys)
    signer = await make_signer(OneSecret({"tls.key": key, "tls.crt": certificate}), "edgemodel")
    assert read(signer.sign("vision", [], NOW))["sub"] == "vision"


@pytest.mark.parametrize("data", [None, {}, {"tls.key": ""}, {"tls.key": "eA==", "tls.crt": "eA=="}, {"tls.key": "é"}])
async def test_a_secret_without_usable_keys_is_named_with_the_cure(data: dict[str, str] | None) -> None:
    with pytest.raises(
        Stalled, match=r"Secret edgemodel/edgemodel-registry-keys does not hold .*; delete it"
    ) as failed:
        await make_signer(OneSecret(data), "edgemodel")
    assert not re.search(r"Error|Exception|KeyError", failed.value.message)


def answer(**status: Any) -> dict[str, Any]:
    return {"status": {"authenticated": True, "audiences": [SERVICE], **status}}


def test_the_review_asks_for_the_registrys_audience() -> None:
    assert token_review("abc")["spec"] == {"token": "abc", "audiences": [SERVICE]}


def test_the_namespace_is_that_of_the_service_account() -> None:
    assert reviewed_namespace(answer(user={"username": "system:serviceaccount:vision:default"})) == "vision"


@pytest.mark.parametrize(
    "review_answer",
    [
        {},
        {"status": {}},
        {"status": {"authenticated": False, "error": "token expired"}},
        {"status": {"authenticated": True, "user": {"username": "system:serviceaccount:vision:default"}}},
        answer(audiences=["https://kubernetes.default.svc"], user={"username": "system:serviceaccount:vision:default"}),
        answer(user={"username": "admin"}),
        answer(user={"username": "system:node:camera-1"}),
        answer(user={"username": "system:serviceaccount::default"}),
        answer(user={"username": "system:serviceaccount:vision"}),
    ],
)
def test_a_token_that_the_api_server_rejects_has_no_namespace(review_answer: dict[str, Any]) -> None:
    assert reviewed_namespace(review_answer) is None


# --- the endpoint ---


async def test_a_good_token_is_changed_for_one_of_the_registry(realm: str) -> None:
    status, body = await ask(realm, "token-of-vision", "repository:vision/defects:pull,push")
    assert status == 200
    assert body["token"] == body["access_token"]
    assert body["expires_in"] == 300
    assert read(body["token"])["access"] == [
        {"type": "repository", "name": "vision/defects", "actions": ["pull", "push"]}
    ]


async def test_another_namespace_is_answered_with_an_empty_grant(realm: str) -> None:
    status, body = await ask(realm, "token-of-audio", "repository:vision/defects:pull,push")
    assert (status, read(body["token"])["access"]) == (200, [])


async def test_without_a_scope_nothing_is_granted(realm: str) -> None:
    status, body = await ask(realm, "token-of-vision")
    assert (status, read(body["token"])["access"]) == (200, [])


async def test_the_error_for_a_bad_token_names_the_possible_causes(realm: str) -> None:
    status, body = await ask(realm, "stolen", "repository:vision/defects:pull,push")
    assert status == 401
    (error,) = body["errors"]
    assert error["code"] == "UNAUTHORIZED"
    assert "not a valid service-account token for the audience edgemodel-registry" in error["message"]


async def test_missing_credentials_are_reported_with_the_expected_ones(realm: str) -> None:
    status, body = await ask(realm, None, "repository:vision/defects:pull")
    assert status == 401
    assert "send Basic authentication" in body["errors"][0]["message"]


NO_PASSWORD = base64.b64encode(b"user:").decode()


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!", "Basic /w==", "Bearer token-of-vision", f"Basic {NO_PASSWORD}"]
)
async def test_a_broken_header_counts_as_no_credentials(realm: str, header: str) -> None:
    async with ClientSession() as session:
        answer = await session.get(realm, params={"service": SERVICE}, headers={"Authorization": header})
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_an_api_server_that_is_away_is_not_a_refusal(realm: str) -> None:
    status, body = await ask(realm, "api-server-away", "repository:vision/defects:pull")
    assert status == 503
    assert "connection refused" in body["errors"][0]["message"]


async def test_tokens_are_for_one_service_only(realm: str) -> None:
    status, body = await ask(realm, "token-of-vision", service="registry.example")
    assert status == 400
    assert "this is the realm of 'edgemodel-registry'" in body["errors"][0]["message"]


async def test_a_namespace_is_not_given_the_catalog(realm: str) -> None:
    status, body = await ask(realm, "token-of-vision", CATALOG_SCOPE)
    assert status == 200
    assert read(body["token"])["access"] == []


def test_the_operator_signs_itself_what_it_asks_for(keys: tuple[bytes, bytes]) -> None:
    token = sign_for_operator(Signer(*keys), f"repository:vision/defects:pull,delete {CATALOG_SCOPE}", NOW)
    assert read(token)["access"] == [
        {"type": "repository", "name": "vision/defects", "actions": ["pull", "delete"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]


# --- the real registry, with the configuration of the chart ---


def push(registry_url: str, repository: str, password: str) -> int:
    """Returns the status of starting an upload like a client: it is asked for a token, gets one, and tries again."""
    http = urllib3.PoolManager(retries=False)
    start = f"{registry_url}/v2/{repository}/blobs/uploads/"
    challenge = http.request("POST", start)
    assert challenge.status == 401
    scheme, _, fields = challenge.headers["WWW-Authenticate"].partition(" ")
    assert scheme == "Bearer"
    given = dict(re.findall(r'(\w+)="([^"]*)"', fields))
    token = http.request(
        "GET",
        given["realm"],
        fields={"service": given["service"], "scope": given["scope"]},
        headers=urllib3.make_headers(basic_auth=f"job:{password}"),
    )
    if token.status != 200:
        return token.status
    bearer = {"Authorization": f"Bearer {token.json()['token']}"}
    started = http.request("POST", start, headers=bearer)
    if started.status != 202:
        return started.status
    data = b"a model"
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    location = started.headers["Location"]
    separator = "&" if "?" in location else "?"
    return http.request("PUT", f"{location}{separator}digest={digest}", body=data, headers=bearer).status


def moved_to(folder: Path, keys: tuple[bytes, bytes], realm: str) -> dict[str, str]:
    """Returns the differences between this machine and the cluster of the chart's configuration."""
    certificate = folder.parent / "tls.crt"
    certificate.write_bytes(keys[1])
    return {
        "http://em-operator.edgemodel-system.svc:8082/token": realm,
        "/etc/edgemodel-registry/keys/tls.crt": str(certificate),
    }


@pytest.mark.lab_programs
async def test_the_real_registry_takes_a_push_under_the_own_name_only(
    folder: Path, keys: tuple[bytes, bytes], realm: str
) -> None:
    moved = moved_to(folder, keys, realm)

    def pushes() -> dict[str, int]:
        with serve(folder, "push.yml", moved) as url:
            return {
                "own": push(url, "vision/defects", "token-of-vision"),
                "other": push(url, "audio/words", "token-of-vision"),
                "bad": push(url, "vision/defects", "stolen"),
            }

    assert await asyncio.to_thread(pushes) == {"own": 201, "other": 401, "bad": 401}


@pytest.mark.lab_programs
async def test_the_real_registry_refuses_a_token_of_another_key_or_an_old_one(
    folder: Path, keys: tuple[bytes, bytes], realm: str
) -> None:
    moved = moved_to(folder, keys, realm)
    wanted = [Access("vision/defects", ("pull", "push"))]
    now = datetime.now(UTC)
    tokens = {
        "good": Signer(*keys).sign("vision", wanted, now),
        "of another key": Signer(*make_keys()).sign("vision", wanted, now),
        "old": Signer(*keys).sign("vision", wanted, now - timedelta(minutes=10)),
        "from a board four minutes ahead": Signer(*keys).sign("vision", wanted, now + timedelta(minutes=4)),
    }

    def statuses() -> dict[str, int]:
        http = urllib3.PoolManager(retries=False)
        with serve(folder, "push.yml", moved) as url:
            return {
                name: http.request(
                    "POST", f"{url}/v2/vision/defects/blobs/uploads/", headers={"Authorization": f"Bearer {token}"}
                ).status
                for name, token in tokens.items()
            }

    assert await asyncio.to_thread(statuses) == {
        "good": 202,
        "of another key": 401,
        "old": 401,
        "from a board four minutes ahead": 202,
    }
