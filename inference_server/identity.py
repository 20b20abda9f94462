"""The identity of a server: the revision and model that it runs, and where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """The identity of one model, with the fields of ``edgemodel.metrics.IDENTITY_LABELS``, in that order."""

    namespace: str
    model: str
    revision: str
    variant: str
    node: str
