from __future__ import annotations

import pytest

from edge_oci.errors import InvalidReference
from edge_oci.references import Reference, parse_reference

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("registry.example/team/model:v1", Reference("registry.example", "team/model", "v1")),
        ("registry.example:5000/model", Reference("registry.example:5000", "model")),
        ("localhost/model", Reference("localhost", "model")),
        (f"localhost:5000/a/b@{DIGEST}", Reference("localhost:5000", "a/b", None, DIGEST)),
        (f"oci://r.example/a:t@{DIGEST}", Reference("r.example", "a", "t", DIGEST)),
        ("[::1]:5000/a__b/c-d.e", Reference("[::1]:5000", "a__b/c-d.e")),
    ],
)
def test_a_reference_is_parsed_and_formatted(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text.removeprefix("oci://")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nginx", "name the registry's host first"),
        ("library/nginx:1", "name the registry's host first"),
        ("https://r.example/a", "leave out the scheme"),
        ("r.example/a@sha256:12", "after @ comes sha256: and 64"),
        (f"r.example/a@{DIGEST.upper()}", "after @ comes sha256: and 64"),
        ("r.example/a:b c", "'b c' is not a tag"),
        ("r.example/Team/a", "'Team/a' is not a repository"),
        ("r.example/a//b", "'a//b' is not a repository"),
        ("r.example/../a", "'../a' is not a repository"),
        ("r.example/", "'' is not a repository"),
        ("r.example:x/a", "'r.example:x' is not a host"),
        ("", "name the registry's host first"),
    ],
)
def test_the_error_is_reported(text: str, said: str) -> None:
    with pytest.raises(InvalidReference) as raised:
        parse_reference(text)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "version"),
    [("r.example/a", "latest"), ("r.example/a:t", "t"), (f"r.example/a:t@{DIGEST}", DIGEST)],
)
def test_the_digest_wins_over_the_tag(text: str, version: str) -> None:
    assert parse_reference(text).version == version


def test_a_place_by_digest_has_no_tag() -> None:
    assert str(parse_reference("r.example/a:t").at(DIGEST)) == f"r.example/a@{DIGEST}"
