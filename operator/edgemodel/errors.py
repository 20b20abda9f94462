"""The two kinds of failure: a person must act (Stalled), or time may heal (Transient)."""


class EdgeModelError(Exception):
    """A failure that is reported to the user; ``reason`` is a word of ``edgemodel.reasons``."""

    exit_code = 1

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Stalled(EdgeModelError):
    """A failure that lasts until somebody changes the manifest, the data or the cluster."""

    exit_code = 3


class LargeSource(EdgeModelError):
    """A source that the memory and disk of its Job are not for; another Job may have more."""

    exit_code = 4

    def __init__(self, reason: str, message: str, size_bytes: int) -> None:
        super().__init__(reason, message)
        self.size_bytes = size_bytes


class Transient(EdgeModelError):
    """A failure that a later try may not meet: a network that is down, a registry that restarts."""

    exit_code = 4
