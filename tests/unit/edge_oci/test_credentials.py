"""A Docker config.json, in the forms that Secrets have."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from edge_oci.credentials import Anonymous, DockerConfig, FirstOf, Login, StaticLogin
from edge_oci.errors import InvalidCredentials


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CONFIG = {
    "auths": {
        "registry.example": {"auth": encoded("ada:pass:word")},
        "https://other.example:5000/v2/": {"username": "bob", "password": "secret"},
        "registry.example/team": {"username": "team", "password": "t"},
        "registry.example/team/inner": {"username": "inner", "password": "i"},
        "https://index.docker.io/v1/": {"username": "hub", "password": "h"},
        "empty.example": {},
        "token.example": {"auth": encoded("00000000-0000-0000-0000-000000000000:"), "identitytoken": "renew-me"},
    },
    "credHelpers": {"cloud.example": "gcloud"},
    "credsStore": "desktop",
}


@pytest.mark.parametrize(
    ("host", "repository", "login"),
    [
        ("registry.example", "any", Login("ada", "pass:word")),
        ("other.example:5000", "any", Login("bob", "secret")),
        ("other.example", "any", None),
        ("registry.example", "team/model", Login("team", "t")),
        ("registry.example", "team", Login("team", "t")),
        ("registry.example", "team/inner/model", Login("inner", "i")),
        ("registry.example", "teams/model", Login("ada", "pass:word")),
        ("docker.io", "library/x", Login("hub", "h")),
        ("empty.example", "any", None),
        ("token.example", "any", Login("", "", "renew-me")),
        ("unknown.example", "any", None),
    ],
)
def test_the_longest_key_that_fits_wins(tmp_path: Path, host: str, repository: str, login: Login | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert DockerConfig.from_file(tmp_path / "config.json").login(host, repository) == login


@pytest.mark.parametrize(
    ("host", "name"), [("cloud.example", "gcloud"), ("empty.example", "desktop"), ("unknown.example", "desktop")]
)
def test_the_credential_helper_that_would_know_the_host_is_named(host: str, name: str) -> None:
    assert DockerConfig(CONFIG).helper(host) == name
    assert FirstOf([Anonymous(), DockerConfig(CONFIG)]).helper(host) == name


def test_a_file_that_leaves_everything_to_a_helper_holds_no_login() -> None:
    config = DockerConfig({"credsStore": "desktop"})
    assert config.login("registry.example", "any") is None
    assert config.helper("registry.example") == "desktop"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], 'want an object {"auths"'),
        ({}, 'want an object {"auths"'),
        ({"credHelpers": ["gcloud"]}, 'want an object {"auths"'),
        ({"auths": []}, 'want an object {"auths"'),
        ({"auths": {"h.example": "x"}}, "h.example: want an object"),
        ({"auths": {"h.example": {"auth": "not base64!"}}}, "'auth' is not base64 of user:password"),
        ({"auths": {"h.example": {"auth": encoded("nocolon")}}}, "'auth' is not base64 of user:password"),
        ({"auths": {"h.example": {"auth": 7}}}, "'auth' is not base64 of user:password"),
    ],
)
def test_errors_of_a_file_are_reported_without_its_secrets(value: Any, said: str) -> None:
    with pytest.raises(InvalidCredentials) as raised:
        DockerConfig(value)
    assert said in str(raised.value)
    assert "nocolon" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    for name in ("config.json", "missing.json"):
        with pytest.raises(InvalidCredentials, match=rf"{name} .*Docker's config.json"):
            DockerConfig.from_file(tmp_path / name)


def test_the_first_source_that_knows_the_host_wins() -> None:
    first, second = Login("first", ""), Login("second", "")
    sources = FirstOf(
        [
            Anonymous(),
            StaticLogin(frozenset({"a.example"}), first),
            StaticLogin(frozenset({"a.example", "b.example"}), second),
        ]
    )
    assert sources.login("a.example", "any") == first
    assert sources.login("b.example", "any") == second
    assert sources.login("c.example", "any") is None
