"""References such as ``host[:port]/repository[:tag][@sha256:…]``.

The host is never guessed: ``nginx`` alone is refused, not sent to Docker Hub.
"""

import re
from dataclasses import dataclass, replace

from .errors import InvalidReference

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"

_REFERENCE = re.compile(
    rf"(?P<host>{_HOST})/(?P<repository>{_REPOSITORY})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)


@dataclass(frozen=True)
class Reference:
    """The place of an image or artifact. Without tag and digest it names a repository."""

    host: str
    """The host, such as ``registry.example`` or ``registry.example:5000``."""
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def version(self) -> str:
        """The version to ask the registry for: the digest where there is one, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> "Reference":
        """Returns the same repository with the digest in place of the tag."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Returns ``text`` as a Reference, without a leading ``oci://``. Raises InvalidReference, which says what is
    wrong."""
    bare = text.removeprefix("oci://")
    found = _REFERENCE.fullmatch(bare)
    if found is None or not _names_a_host(found["host"]):
        raise InvalidReference(f"not a reference: {text!r}: {_what_is_wrong(bare)}")
    return Reference(**found.groupdict())


def _names_a_host(first: str) -> bool:
    return first == "localhost" or any(mark in first for mark in ".:[")


def _what_is_wrong(text: str) -> str:
    if "://" in text:
        return "leave out the scheme (only oci:// may stand in front)"
    name, at, digest = text.partition("@")
    if at and not re.fullmatch(_DIGEST, digest):
        return "after @ comes sha256: and 64 lower-case hexadecimal digits"
    first, slash, rest = name.partition("/")
    if not slash or not _names_a_host(first):
        return "name the registry's host first, as in registry.example/team/model:tag"
    if not re.fullmatch(_HOST, first):
        return f"{first!r} is not a host with an optional port"
    repository, colon, tag = rest.partition(":")
    if colon and not re.fullmatch(_TAG, tag):
        return f"{tag!r} is not a tag (letters, digits, '_', '.', '-'; at most 128)"
    return (
        f"{repository!r} is not a repository (lower-case letters, digits and single '.', '_', '-' between them, by '/')"
    )
