"""The credentials of each registry, and the meaning of a registry's refusals."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_compressor.registries.access import RegistryAccess, pulling, pushing
from edge_oci import errors as oci
from edge_oci.manifests import get_manifest
from edge_oci.references import Reference
from edge_oci.transport import Patience
from edgemodel import reasons
from edgemodel.errors import EdgeModelError, Stalled, Transient
from tests.unit.edge_compressor.servers import Exchange, FileServer


def asks_for_a_token(web: FileServer) -> None:
    """Answers like a registry with a token realm, such as the embedded one."""

    def front_door(exchange: Exchange) -> None:
        exchange.answer(401, WWW_Authenticate=f'Bearer realm="{web.url("/token")}",service="registry"')

    web.routes["/v2/"] = front_door
    web.routes["/token"] = lambda exchange: exchange.answer(200, json.dumps({"token": "short-lived"}).encode())


def sign_in(access: RegistryAccess, host: str) -> None:
    with pytest.raises(oci.RegistryNotFound):  # there is nothing behind the door
        get_manifest(access.registries("push").repository(Reference(host, "ns/model")), "v1")


def sent(web: FileServer, path: str) -> list[str | None]:
    return [headers.get("Authorization") for asked, headers in web.requests if asked.partition("?")[0] == path]


def test_the_projected_token_is_the_password_of_user_token_at_the_realm(web: FileServer, tmp_path: Path) -> None:
    asks_for_a_token(web)
    (tmp_path / "token").write_text("projected\n")
    sign_in(RegistryAccess(token_file=tmp_path / "token", own_host=web.host, plain_http_hosts=(web.host,)), web.host)
    assert sent(web, "/token") == ["Basic " + base64.b64encode(b"token:projected").decode()]
    assert sent(web, "/v2/ns/model/manifests/v1") == ["Bearer short-lived"]


def test_the_projected_token_goes_to_no_other_registry(web: FileServer, tmp_path: Path) -> None:
    asks_for_a_token(web)
    (tmp_path / "token").write_text("projected")
    access = RegistryAccess(token_file=tmp_path / "token", own_host="registry.ours", plain_http_hosts=(web.host,))
    sign_in(access, web.host)
    assert sent(web, "/token") == [None]


def test_a_mounted_secret_goes_before_the_token_and_only_for_its_use(web: FileServer, tmp_path: Path) -> None:
    asks_for_a_token(web)
    (tmp_path / "token").write_text("projected")
    for use in ("push", "source"):
        (tmp_path / use).mkdir()
        config = {"auths": {web.host: {"username": use, "password": "p"}}}
        (tmp_path / use / ".dockerconfigjson").write_text(json.dumps(config))
    access = RegistryAccess(
        secrets=tmp_path, token_file=tmp_path / "token", own_host=web.host, plain_http_hosts=(web.host,)
    )
    sign_in(access, web.host)
    assert sent(web, "/token") == ["Basic " + base64.b64encode(b"push:p").decode()]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (oci.RegistryNotFound(404, "gone"), Stalled, reasons.SOURCE_NOT_FOUND),
        (oci.NoSuchHost("no address", transient=False), Stalled, reasons.SOURCE_NOT_FOUND),
        (oci.NoSuchHost("resolver is down", transient=True), Transient, reasons.SOURCE_UNREACHABLE),
        (oci.Unauthorized(401, "who"), Stalled, reasons.SOURCE_UNAUTHORIZED),
        (oci.Denied(403, "no"), Stalled, reasons.SOURCE_UNAUTHORIZED),
        (oci.InvalidCredentials("bad file"), Stalled, reasons.SOURCE_UNAUTHORIZED),
        (oci.DigestMismatch("blob", "a", "b"), Stalled, reasons.DIGEST_MISMATCH),
        (oci.UntrustedCertificate("self-signed"), Stalled, reasons.SOURCE_NOT_ALLOWED),
        (oci.Unreachable("refused"), Transient, reasons.SOURCE_UNREACHABLE),
        (oci.RegistryError(503, "busy"), Transient, reasons.SOURCE_UNREACHABLE),
        (oci.BlobTooLarge("too much"), Stalled, reasons.DATASET_INVALID),
        (oci.InvalidContent("two files"), Stalled, reasons.DATASET_INVALID),
    ],
)
def test_each_error_of_a_pull_has_its_reason(error: oci.OciError, kind: type[EdgeModelError], reason: str) -> None:
    assert outcome(lambda: _raise_in_pull(error)) == (kind, reason, f"evaluation set: {error}")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (oci.Denied(403, "no"), Stalled, reasons.ARTIFACT_REJECTED),
        (oci.RegistryError(400, "bad manifest"), Stalled, reasons.ARTIFACT_REJECTED),
        (oci.Unreachable("refused"), Transient, reasons.REGISTRY_UNREACHABLE),
        (oci.RegistryError(500, "oh"), Transient, reasons.REGISTRY_UNREACHABLE),
    ],
)
def test_each_error_of_a_push_has_its_reason(error: oci.OciError, kind: type[EdgeModelError], reason: str) -> None:
    assert outcome(lambda: _raise_in_push(error)) == (kind, reason, f"publishing: {error}")


def outcome(act: Callable[[], None]) -> tuple[type[EdgeModelError], str, str]:
    with pytest.raises(EdgeModelError) as caught:
        act()
    return type(caught.value), caught.value.reason, caught.value.message


def _raise_in_pull(error: oci.OciError) -> None:
    with pulling("evaluation set", invalid=reasons.DATASET_INVALID):
        raise error


def _raise_in_push(error: oci.OciError) -> None:
    with pushing("publishing"):
        raise error


def test_patience_is_passed_on(web: FileServer) -> None:
    pauses: list[float] = []
    web.routes["/v2/"] = lambda exchange: exchange.answer(503)
    access = RegistryAccess(plain_http_hosts=(web.host,), patience=Patience(tries=3, sleep=pauses.append))
    with pytest.raises(oci.RegistryError):
        get_manifest(access.registries("source").repository(Reference(web.host, "ns/model")), "v1")
    assert len(pauses) == 2
