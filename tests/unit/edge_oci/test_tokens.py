"""A realm exchanges a service-account token for one of its own, like the embedded registry's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_oci import blobs, manifests
from edge_oci.client import Repository
from edge_oci.credentials import DockerConfig, TokenFile
from edge_oci.errors import InvalidCredentials, Unauthorized
from tests.unit.edge_oci import distribution, faulty, realm
from tests.unit.edge_oci.conftest import Pauses
from tests.unit.edge_oci.faulty import Answer, FaultyProxy
from tests.unit.edge_oci.realm import Realm

pytestmark = pytest.mark.lab_programs

Open = Callable[..., Repository]


@pytest.fixture(scope="module")
def with_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Realm]]:
    directory = tmp_path_factory.mktemp("tokens")
    with (
        realm.running(directory, {"vision-secret": "vision", "audio-secret": "audio"}) as (running, auth),
        distribution.running(directory, auth=auth) as host,
    ):
        yield host, running


@pytest.fixture
def issuer(with_tokens: tuple[str, Realm]) -> Realm:
    with_tokens[1].requests.clear()
    return with_tokens[1]


@pytest.fixture
def guarded(with_tokens: tuple[str, Realm]) -> Iterator[FaultyProxy]:
    with faulty.faulty(with_tokens[0]) as proxy:
        yield proxy


@pytest.fixture
def credentials(tmp_path: Path, guarded: FaultyProxy) -> TokenFile:
    (tmp_path / "token").write_text("vision-secret\n")
    return TokenFile(tmp_path / "token", frozenset({guarded.host}))


def test_the_identity_token_of_a_docker_config_is_exchanged(
    guarded: FaultyProxy, issuer: Realm, repository: Open
) -> None:
    config = DockerConfig({"auths": {guarded.host: {"identitytoken": "vision-secret"}}})
    own = repository(guarded.host, "vision/identity", config)
    blob = blobs.push_blob(own, b"content")
    assert blobs.has_blob(own, blob.digest)
    assert {one["grant_type"][0] for one in issuer.requests} == {"refresh_token"}


def test_a_refused_identity_token_is_reported_without_being_shown(guarded: FaultyProxy, repository: Open) -> None:
    config = DockerConfig({"auths": {guarded.host: {"identitytoken": "expired-secret"}}})
    with pytest.raises(Unauthorized, match=r"the identity token for .* is refused.*: log in anew") as raised:
        manifests.list_tags(repository(guarded.host, "vision/identity", config))
    assert "expired-secret" not in str(raised.value)


def test_a_namespace_pushes_under_its_own_name(
    guarded: FaultyProxy, issuer: Realm, credentials: TokenFile, repository: Open, megabyte: Path
) -> None:
    own = repository(guarded.host, "vision/defects", credentials)
    blob = blobs.push_blob(own, megabyte, chunk_bytes=300_000)
    assert blobs.has_blob(own, blob.digest)
    assert [query["scope"] for query in issuer.requests] == [
        ["repository:vision/defects:pull"],
        ["repository:vision/defects:pull,push"],
    ]
    assert [request.path for request in guarded.requests if request.status == 401] == ["/v2/"]


def test_it_does_not_push_under_another(
    guarded: FaultyProxy, issuer: Realm, credentials: TokenFile, repository: Open, pauses: Pauses
) -> None:
    with pytest.raises(Unauthorized, match="may not do this to audio/words"):
        blobs.push_blob(repository(guarded.host, "audio/words", credentials), b"content")
    assert not pauses.seconds


def test_two_repositories_are_mounted_by_one_token(
    guarded: FaultyProxy, issuer: Realm, credentials: TokenFile, repository: Open
) -> None:
    source = repository(guarded.host, "vision/source", credentials)
    target = repository(guarded.host, "vision/target", credentials)
    blob = blobs.push_blob(source, b"mounted")
    assert blobs.mount_blob(target, blob.digest, source=source.name)


def test_a_token_that_expires_in_mid_push_is_renewed(
    guarded: FaultyProxy, issuer: Realm, credentials: TokenFile, repository: Open, tmp_path: Path
) -> None:
    (tmp_path / "content").write_bytes(b"expires" * 100_000)
    own = repository(guarded.host, "vision/expires", credentials)
    guarded.will("PATCH", "/uploads/", Answer(401, {"WWW-Authenticate": 'Bearer realm="x"'}))
    blob = blobs.push_blob(own, tmp_path / "content", chunk_bytes=300_000)
    assert blobs.has_blob(own, blob.digest)
    assert len(guarded.seen("POST", "/uploads/")) == 1
    assert len(issuer.requests) == 3


def test_a_token_that_is_stale_when_it_comes_is_renewed_once(
    guarded: FaultyProxy, issuer: Realm, credentials: TokenFile, repository: Open
) -> None:
    issuer.expired_tokens = 1
    assert manifests.list_tags(repository(guarded.host, "vision/stale", credentials)) == []
    issuer.expired_tokens = 2
    with pytest.raises(Unauthorized):
        manifests.list_tags(repository(guarded.host, "vision/stale", credentials))


def test_the_token_file_is_read_at_every_sign_in(
    guarded: FaultyProxy, issuer: Realm, credentials: TokenFile, repository: Open
) -> None:
    own = repository(guarded.host, "vision/renewed", credentials)
    credentials.path.write_text("from another cluster")
    with pytest.raises(Unauthorized, match="user 'token' is refused"):
        manifests.list_tags(own)
    credentials.path.write_text("vision-secret")
    assert manifests.list_tags(own) == []


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (" \n", "is empty")])
def test_a_token_file_without_a_token_is_named(
    guarded: FaultyProxy,
    issuer: Realm,
    credentials: TokenFile,
    repository: Open,
    content: str | None,
    said: str,
) -> None:
    if content is None:
        credentials.path.unlink()
    else:
        credentials.path.write_text(content)
    with pytest.raises(InvalidCredentials, match=said):
        manifests.list_tags(repository(guarded.host, "vision/none", credentials))
