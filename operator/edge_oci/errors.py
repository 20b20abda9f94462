"""The failures of a registry, as types; each message says what to change.

``transient`` is True if a later try may succeed although nobody changes anything.
"""

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class OciError(Exception):
    """Base of all errors of this package."""

    transient = False


class InvalidReference(OciError, ValueError):
    """The text is not a reference to an image or artifact."""


class InvalidCredentials(OciError):
    """A credentials file is missing or not in the form it should have."""


class RegistryError(OciError):
    """The registry answered, and refused. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.transient = status in TRANSIENT_STATUSES


class Unauthorized(RegistryError):
    """401: the request has no credentials, wrong ones, or ones without access to the repository."""


class Denied(RegistryError):
    """403: the credentials are valid, but do not allow the request."""


class RegistryNotFound(RegistryError):
    """404: the repository, tag, manifest or blob does not exist."""


class Unreachable(OciError):
    """The registry did not answer: the connection was refused, timed out or broke."""

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient

    @property
    def worth_a_retry(self) -> bool:
        """True if a retry within seconds may succeed; ``transient`` is about minutes."""
        return self.transient


class NoSuchHost(Unreachable):
    """The host name does not resolve. ``transient`` is True if the resolver failed, not the name."""

    @property
    def worth_a_retry(self) -> bool:
        """False: a resolver that fails does so for longer than seconds."""
        return False


class UntrustedCertificate(Unreachable):
    """TLS failed; a retry does not make a certificate trusted."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


class DigestMismatch(OciError):
    """The bytes do not have the digest that was named; none of them are kept."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{what}: expected {expected}, got {actual}; the bytes were changed on the way or at the registry"
        )
        self.expected = expected
        self.actual = actual


class BlobTooLarge(OciError):
    """The blob has more bytes than were announced, or than the caller allows."""


class InvalidContent(OciError):
    """A manifest, index or configuration that is not what the caller needs; the message says what it is."""
