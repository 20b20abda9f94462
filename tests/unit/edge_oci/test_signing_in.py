"""Authentication: credentials are sent unasked, renewed when they expire, and refused at once if they are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_oci import blobs, manifests
from edge_oci.client import Repository
from edge_oci.credentials import DockerConfig, Login, StaticLogin
from edge_oci.errors import InvalidContent, Unauthorized, Unreachable
from tests.unit.edge_oci import distribution, faulty
from tests.unit.edge_oci.conftest import Pauses
from tests.unit.edge_oci.faulty import Answer, FaultyProxy

Open = Callable[..., Repository]

# bcrypt of "right", at the lowest cost.
_PASSWORDS = "ada:$2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC\n"


@pytest.fixture(scope="module")
def with_passwords(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("passwords")
    (directory / "htpasswd").write_text(_PASSWORDS)
    auth = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    with distribution.running(directory, auth=auth) as host:
        yield host


@pytest.fixture
def guarded(with_passwords: str) -> Iterator[FaultyProxy]:
    with faulty.faulty(with_passwords) as proxy:
        yield proxy


def ada(host: str, *, knows: bool = True) -> StaticLogin:
    return StaticLogin(frozenset({host}), Login("ada", "right" if knows else "not-the-password"))


@pytest.mark.lab_programs
def test_credentials_are_sent_ahead(guarded: FaultyProxy, repository: Open, megabyte: Path) -> None:
    own = repository(guarded.host, credentials=ada(guarded.host))
    blobs.push_blob(own, megabyte, chunk_bytes=300_000)
    refused = [request for request in guarded.requests if request.status == 401]
    assert [request.path for request in refused] == ["/v2/"]


@pytest.mark.lab_programs
def test_a_wrong_password_fails_at_once(guarded: FaultyProxy, repository: Open, megabyte: Path, pauses: Pauses) -> None:
    own = repository(guarded.host, credentials=ada(guarded.host, knows=False))
    with pytest.raises(Unauthorized, match="user 'ada' is refused") as raised:
        blobs.push_blob(own, megabyte)
    assert not raised.value.transient
    assert "not-the-password" not in str(raised.value)
    assert not pauses.seconds
    assert len(guarded.requests) == 2


@pytest.mark.lab_programs
def test_missing_credentials_are_reported(guarded: FaultyProxy, repository: Open) -> None:
    own = repository(guarded.host, credentials=ada("other.example"))
    with pytest.raises(Unauthorized, match=f"there are no credentials for {guarded.host}/"):
        manifests.list_tags(own)


@pytest.mark.lab_programs
def test_a_login_in_a_credential_helper_is_reported(guarded: FaultyProxy, repository: Open) -> None:
    own = repository(guarded.host, credentials=DockerConfig({"auths": {guarded.host: {}}, "credsStore": "desktop"}))
    with pytest.raises(Unauthorized, match="to the credential helper 'desktop', which is not run: write user name"):
        manifests.list_tags(own)


def test_a_login_keeps_its_password_to_itself() -> None:
    assert "secret" not in repr(Login("ada", "secret"))


def test_credentials_do_not_follow_to_another_host(
    guarded: FaultyProxy, proxy: FaultyProxy, repository: Open, tmp_path: Path
) -> None:
    own = repository(guarded.host, credentials=ada(guarded.host))
    blob = blobs.push_blob(own, b"content")
    guarded.will("GET", "/blobs/", Answer(307, {"Location": f"http://{proxy.host}/bucket/object?signature=x"}))
    proxy.will("GET", "/bucket/", Answer(200, body=b"content"))
    blobs.pull_blob(own, blob, tmp_path / "back")
    (elsewhere,) = proxy.seen("GET", "/bucket/")
    assert "Authorization" not in elsewhere.headers
    assert (tmp_path / "back").read_bytes() == b"content"


def test_redirects_have_an_end(proxy: FaultyProxy, repository: Open) -> None:
    own = repository(proxy.host)
    proxy.will("GET", "/tags/", *[Answer(307, {"Location": f"http://{proxy.host}/v2/{own.name}/tags/list"})] * 9)
    with pytest.raises(Unreachable, match="more than 5 redirects"):
        manifests.list_tags(own)


def test_an_unknown_way_to_sign_in_is_named(proxy: FaultyProxy, repository: Open) -> None:
    proxy.will("GET", "/v2/", Answer(401, {"WWW-Authenticate": 'Negotiate realm="x"'}))
    with pytest.raises(InvalidContent, match="not Basic or Bearer: 'Negotiate"):
        manifests.list_tags(repository(proxy.host))
