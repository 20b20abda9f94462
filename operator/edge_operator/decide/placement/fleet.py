"""The placed nodes of an EdgeModel: what each should run, by its pins, and what it does run, by its pods."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from edge_operator.decide.observation import Node, Observation, Pod, Refusal
from edge_operator.decide.placement.cells import Cell, unit_of
from edge_operator.decide.placement.node_health import Assignment, pods_of
from edge_operator.decide.placement.possible_pins import PinNames
from edge_operator.decide.placement.selection import Placed, Placement, matches
from edge_operator.decide.placement.set_aside import why_set_aside
from edgemodel.names import daemonset_name, pin_key, puller_of
from edgemodel.verdict import Verdict

MAX_LIVE = 3
"""The largest number of revisions that nodes are pinned to at the same time."""
ROUTES_AFTER = timedelta(seconds=90)
"""The time after which a node that was away from the API server routes to its present pods. Its kube-proxy reconnects
with a back-off of up to a minute, and the kubelet, which starts pods, may reconnect first."""
ROUTES_AFTER_API = timedelta(seconds=180)
"""The same time for every node after an outage of the API server: up to three such back-offs, because it refuses
clients while it starts, and then a watch of what it has forgotten."""


@dataclass(frozen=True)
class Fleet:
    """The placed nodes of one EdgeModel, with what each runs."""

    observation: Observation
    placement: Placement
    cells: tuple[Cell, ...]
    stable: str | None
    rejected: frozenset[str]
    now: datetime
    candidate: str | None = None
    deferral: str | None = None
    """The label of nodes that are excluded from the trial of the candidate."""
    ended_deferrals: frozenset[str] = frozenset()
    """The labels of the same kind from earlier candidates."""
    known_pins: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The (revision, variant) of each pin, for every known revision of this EdgeModel."""
    other_variants: dict[str, tuple[tuple[str, dict[str, str]], ...]] = field(default_factory=dict)
    """The (variant, node selector) pairs in order, by revision, for revisions whose variants are not the spec's."""
    _pins: dict[tuple[str, str], str] = field(default_factory=dict)
    """The cache of pins by (revision, variant): a pin is a hash."""

    @classmethod
    def of(
        cls,
        observation: Observation,
        placement: Placement,
        cells: tuple[Cell, ...],
        stable: str | None,
        rejected: frozenset[str],
        candidate: str | None,
        now: datetime,
    ) -> "Fleet":
        """Returns the fleet; ``candidate`` is None while no revision is on trial."""
        variants = {variant.name for variant in observation.spec.variants}
        own = {
            revision.name: tuple((item.name, item.node_selector) for item in revision.spec.variants)
            for revision in observation.revisions
        }
        others = {name: items for name, items in own.items() if {variant for variant, _ in items} != variants}
        also = rejected | ({stable} if stable else set())
        names = PinNames.of(observation.namespace, observation.name, observation.revisions, also, variants)
        known, deferrals = names.pins, {revision: label for label, revision in names.deferrals.items()}
        deferral = deferrals.pop(candidate or "", None)
        ended = frozenset(deferrals.values())
        return cls(observation, placement, cells, stable, rejected, now, candidate, deferral, ended, known, others)

    def variant(self, revision: str, placed: Placed) -> str:
        """Returns the variant of ``revision`` that the node gets.

        The selectors of the spec, which may have changed since, decide; a revision with other variants than the spec's
        has its own.
        """
        own = self.other_variants.get(revision, ())
        return next((name for name, selector in own if matches(selector, placed.node.labels)), placed.variant)

    def pin(self, revision: str, placed: Placed) -> str:
        """Returns the label by which the node runs its variant of ``revision``."""
        return self._key(revision, self.variant(revision, placed))

    def pull_pin(self, revision: str, placed: Placed) -> str:
        """Returns the label by which the node pulls the image of its variant of ``revision``."""
        return self._key(revision, puller_of(self.variant(revision, placed)))

    def _key(self, revision: str, variant: str) -> str:
        pin = self._pins.get((revision, variant))
        if pin is None:
            pin = pin_key(self.observation.namespace, self.observation.name, revision, variant)
            self._pins[revision, variant] = pin
        return pin

    def pinned(self, revision: str, placed: Placed) -> bool:
        """Returns whether the node should run ``revision``."""
        return self.pin(revision, placed) in placed.node.pins

    def pulling(self, revision: str, placed: Placed) -> bool:
        """Returns whether the node pulls the revision's image before its Recreate."""
        return self.pull_pin(revision, placed) in placed.node.pins

    def pulled(self, revision: str, placed: Placed) -> bool:
        """Returns whether the node has the revision's image."""
        return self._ready_pod(revision, placed, puller_of(self.variant(revision, placed))) is not None

    def counted(self, number: int) -> str:
        """Returns ``number`` with its unit, as in ``1 node``."""
        return f"{number} {self.unit(number)}"

    def unit(self, number: int) -> str:
        """Returns the word for ``number`` nodes, or cells if they have several members."""
        return unit_of(self.cells, number)

    def recreates(self, revision: str) -> bool:
        """Returns whether nodes replace their pod by one of ``revision``; otherwise both run until the new one is
        ready."""
        found = self.observation.revision(revision)
        return found is not None and found.spec.serving.strategy == "Recreate"

    def pod(self, revision: str, placed: Placed) -> Pod | None:
        """Returns the ready pod of ``revision`` on the node; None if there is none."""
        return self._ready_pod(revision, placed, self.variant(revision, placed))

    def serves(self, revision: str, cell: Cell) -> bool:
        """Returns whether all members have a ready pod of ``revision``."""
        return all(self.pod(revision, member) is not None for member in cell.members)

    def _ready_pod(self, revision: str, placed: Placed, variant: str) -> Pod | None:
        pods = pods_of(self.observation, placed.node.name, revision, variant)
        return next((pod for pod in pods if pod.ready), None)

    def assignment(self, revision: str, placed: Placed, sent_at: datetime) -> Assignment:
        """Returns the pods that the node, which was sent ``revision`` at ``sent_at``, has of it.

        They are those of the puller while the node only pulls the image.
        """
        variant = self.variant(revision, placed)
        if not self.pinned(revision, placed):
            variant = puller_of(variant)
        node = placed.node
        lost = self.observation.pods_lost.get((node.name, revision, variant), sent_at)
        pods = pods_of(self.observation, node.name, revision, variant)
        opened = self.observation.opened_since.get(node.name)
        startable = [time for pod in pods if (time := self.observation.startable_since.get(pod.name)) is not None]
        return Assignment(node, revision, variant, pods, max(sent_at, lost), opened, max(startable, default=None))

    def is_set_aside(self, revision: str, placed: Placed) -> bool:
        """Returns whether no pod of ``revision``, by its own tolerations, can be created on the node."""
        record = self.observation.revision(revision)
        if record is None or record.spec.serving.tolerations == self.observation.spec.tolerations:
            return bool(placed.set_aside)
        return bool(why_set_aside(placed.node, record.spec.serving.tolerations))

    def refusal(self, revision: str, placed: Placed) -> Refusal | None:
        """Returns why no pod of ``revision``, or of its puller, is created on the node that was sent it, or can start
        there, if that is known."""
        if not self.observation.refusals:
            return None
        variant = self.variant(revision, placed)
        if not self.pinned(revision, placed):
            variant = puller_of(variant)
        if pods := pods_of(self.observation, placed.node.name, revision, variant):
            of_pods = (self.observation.refusals.get(("Pod", pod.name)) for pod in pods)
            return next((item for item in of_pods if item is not None and item.keeps_from_starting), None)
        return self.observation.refusals.get(("DaemonSet", daemonset_name(revision, variant)))

    def has_pod(self, revision: str, placed: Placed) -> bool:
        """Returns whether the node has a pod of ``revision``, ready or not."""
        return bool(self.pods(revision, placed))

    def pods(self, revision: str, placed: Placed) -> tuple[Pod, ...]:
        """Returns the node's pods of ``revision``, ready or not."""
        return pods_of(self.observation, placed.node.name, revision, self.variant(revision, placed))

    def ours(self, node: Node) -> frozenset[str]:
        """Returns this EdgeModel's pins on ``node``."""
        return node.pins & self.known_pins.keys()

    def routes_from(self, node: Node) -> datetime | None:
        """Returns the time from which ``node``, lately back, routes to its present pods; None if it does now."""
        back, api = self.observation.back_since.get(node.name), self.observation.api_back_since
        times = [back + ROUTES_AFTER] if back is not None else []
        times += [api + ROUTES_AFTER_API] if api is not None else []
        return max((time for time in times if self.now < time), default=None)

    def next_routes(self) -> datetime | None:
        """Returns the next time at which a node that kept a pod for its routes may lose it; None if there is none."""
        times = [self.routes_from(p.node) for p in self.placement.placed if len(self.ours(p.node)) > 1]
        return min((time for time in times if time is not None), default=None)

    def deferred(self, placed: Placed) -> bool:
        """Returns whether the node gets the candidate only once that is stable."""
        return self.deferral in placed.node.deferrals

    def pinned_to_rejected(self, placed: Placed) -> bool:
        """Returns whether the node has a pin of a rejected revision."""
        return any(self.known_pins[pin][0] in self.rejected for pin in self.ours(placed.node))

    @cached_property
    def unproven(self) -> frozenset[str]:
        """Returns the rejected and superseded revisions: none of them was ever stable."""
        return self.rejected | self.superseded

    @cached_property
    def superseded(self) -> frozenset[str]:
        """Returns the revisions that were on trial when another spec came, and so never became stable."""
        known = {self.stable, self.candidate}
        unproven = (r.name for r in self.observation.revisions if r.verdict != Verdict.PASS and r.name not in known)
        return frozenset(unproven) - self.rejected

    @cached_property
    def outlived(self) -> frozenset[str]:
        """Returns the oldest former stable revisions beyond MAX_LIVE, which nodes that were offline for too long still
        have."""
        pinned = {self.known_pins[pin][0] for placed in self.placement.placed for pin in self.ours(placed.node)}
        current = {name for name in (self.stable, self.candidate) if name}
        former = pinned - current - self.rejected - self.superseded
        created = {revision.name: revision.created for revision in self.observation.revisions}
        newest_first = sorted(
            (name for name in former if name in created), key=lambda name: created[name], reverse=True
        )
        return frozenset(newest_first[MAX_LIVE - len(current) :])
