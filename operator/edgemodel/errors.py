"""Two kinds of failure: a person must act (Stalled), or time may heal (Transient)."""


class EdgeModelError(Exception):
    """A failure that a user is told about: ``reason`` is a PascalCase word of ``edgemodel.reasons``."""

    exit_code = 1

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Stalled(EdgeModelError):
    """Trying again changes nothing until somebody changes the manifest, the data or the cluster."""

    exit_code = 3


class Transient(EdgeModelError):
    """Worth another try later: a network that is down, a registry that restarts."""

    exit_code = 4
