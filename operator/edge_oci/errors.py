"""The failures of a registry, as types; each message says what to change.

``transient`` tells the two kinds apart: True where a later try may succeed with nothing changed.
"""

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class OciError(Exception):
    """Base of all errors of this package."""

    transient = False


class InvalidReference(OciError, ValueError):
    """The text is no reference to an image or artifact."""


class InvalidCredentials(OciError):
    """A credentials file is missing or not in the form it should have."""


class RegistryError(OciError):
    """The registry answered, and refused. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.transient = status in TRANSIENT_STATUSES


class Unauthorized(RegistryError):
    """401: no credentials, wrong ones, or ones that do not reach this far."""


class Denied(RegistryError):
    """403: signed in, and not allowed."""


class RegistryNotFound(RegistryError):
    """404: no such repository, tag, manifest or blob."""


class Unreachable(OciError):
    """No answer at all: refused, timed out, or cut."""

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient

    @property
    def worth_a_retry(self) -> bool:
        """Within seconds, that is; ``transient`` is about minutes."""
        return self.transient


class NoSuchHost(Unreachable):
    """The name has no address. ``transient`` when the resolver, not the name, is at fault."""

    @property
    def worth_a_retry(self) -> bool:
        return False


class UntrustedCertificate(Unreachable):
    """TLS failed; trying again does not make a certificate trusted."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


class DigestMismatch(OciError):
    """The bytes are not those that were named; nothing of them is kept."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{what}: expected {expected}, got {actual}; the bytes were changed on the way or at the registry"
        )
        self.expected = expected
        self.actual = actual


class BlobTooLarge(OciError):
    """More bytes than were announced, or than the caller allows."""


class InvalidContent(OciError):
    """A manifest, index or configuration that is not what the caller needs; the message says what it is."""
