"""The identity of a server: which revision of which model it runs, and where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """The fields are ``edgemodel.metrics.IDENTITY_LABELS``, in that order."""

    namespace: str
    model: str
    revision: str
    variant: str
    node: str
