"""The pins and deferrals that can exist: every node label that an EdgeModel may have set.

A pin is a hash that cannot be reversed, so all possible ones are computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge_operator.decide.observation import Revision
from edgemodel.names import deferral_key, pin_key, puller_of


@dataclass(frozen=True)
class PinNames:
    """The names from which the pins of one EdgeModel are computed."""

    namespace: str
    model: str
    revisions: frozenset[str]
    variants: frozenset[str]
    """The names of variants, without pullers."""

    @classmethod
    def of(
        cls, namespace: str, model: str, revisions: Iterable[Revision], named: Iterable[str], variants: Iterable[str]
    ) -> "PinNames":
        """Returns the names of an EdgeModel with its recorded ``revisions``, and those of their variants.

        ``named`` are further revisions that are known by name only, ``variants`` those of the spec.
        """
        recorded = tuple(revisions)
        of_revisions = (variant.name for revision in recorded for variant in revision.spec.variants)
        names = (revision.name for revision in recorded)
        return cls(namespace, model, frozenset({*names, *named}), frozenset({*of_revisions, *variants}))

    @property
    def pins(self) -> dict[str, tuple[str, str]]:
        """Maps each pin to (revision, variant or its puller)."""
        variants = self.variants | {puller_of(variant) for variant in self.variants}
        return {
            pin_key(self.namespace, self.model, revision, variant): (revision, variant)
            for revision in self.revisions
            for variant in variants
        }

    @property
    def deferrals(self) -> dict[str, str]:
        """Maps each deferral to its revision."""
        return {deferral_key(self.namespace, self.model, revision): revision for revision in self.revisions}


def all_labels(names: Iterable[PinNames]) -> frozenset[str]:
    """Returns every pin and deferral of all these EdgeModels."""
    return frozenset(label for item in names for label in (*item.pins, *item.deferrals))
