"""The slowdown of a node within each length of its prompts: each has an edge of its own.

One edge for all lengths would be that of the longest prompts, beyond which a short one never comes, however slow the
candidate is. A length with too few requests before has no edge; where such lengths prevail, all have that of all
requests together, weighted to the lengths of now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from edge_operator.decide.analysis.durations import slower
from edge_operator.decide.analysis.evidence import Evidence
from edge_operator.decide.analysis.limits import Before, odds, slowdown, times_odds
from edge_operator.decide.measurement import Counts, StratifiedHistogram

COVERED = 0.5
"""The part of a node's requests since the switch from which their lengths are judged one by one."""


@dataclass(frozen=True)
class NodeEdges:
    """The edges of one node by length, and what its requests before the switch say of those since."""

    edges: Mapping[str, float]
    before: Before


@dataclass(frozen=True)
class WithinLengths:
    """The edges of all nodes, for a measure of the slowdown."""

    times: StratifiedHistogram
    nodes: Mapping[str, NodeEdges]

    @classmethod
    def of(cls, evidence: Evidence, times: StratifiedHistogram, max_slowdown: float) -> "WithinLengths":
        """Returns the edges of the nodes in ``evidence``, which ``at_the_same_lengths`` made."""
        groups = [(evidence.trial, evidence.control, evidence.baseline)]
        groups += [((), group.control, group.baseline) for group in evidence.others]
        found: dict[str, NodeEdges] = {}
        for trial, control, baseline in groups:
            since = {counts.node: counts for counts in (*control, *trial)}
            for before in baseline:
                edges = _edges(before, since.get(before.node, before), times, max_slowdown)
                if edges is not None:
                    found[before.node] = edges
        return cls(times, found)

    def total(self, counts: Counts) -> int:
        """Returns the requests that are judged; for a node without edges, all."""
        strata, known = self.times.of(counts), self.nodes.get(counts.node)
        lengths = strata if known is None else strata.keys() & known.edges.keys()
        return sum(strata[length].get(inf, 0) for length in lengths)

    def bad(self, counts: Counts) -> int:
        """Returns how many of them came later than the edge of their length."""
        strata, known = self.times.of(counts), self.nodes.get(counts.node)
        if known is None:
            return 0
        return sum(slower(strata[length], edge) for length, edge in known.edges.items() if length in strata)

    def before(self, counts: Counts) -> Before | None:
        """Returns what the node's requests before its switch say; None if they say nothing."""
        known = self.nodes.get(counts.node)
        return known.before if known is not None else None


def _edges(before: Counts, since: Counts, times: StratifiedHistogram, max_slowdown: float) -> NodeEdges | None:
    now = {length: buckets.get(inf, 0) for length, buckets in times.of(since).items()}
    own = {length: slowdown(times.of(before).get(length, {}), max_slowdown) for length, count in now.items() if count}
    known = {length: item for length, item in own.items() if item is not None and item.edge is not None}
    if sum(now[length] for length in known) >= COVERED * sum(now.values()) > 0:
        edges = {length: item.edge for length, item in known.items() if item.edge is not None}
        return NodeEdges(edges, _pooled([(now[length], item) for length, item in known.items()]))
    together = slowdown(times.whole.of(before), max_slowdown)
    if together is None or together.edge is None:
        return None
    return NodeEdges(dict.fromkeys(times.of(before), together.edge), together)


def _pooled(parts: Sequence[tuple[int, Before]]) -> Before:
    """Returns what lengths with these numbers of requests say together, as many requests as they are worth."""
    count = sum(number for number, _ in parts)
    shares = [(number / count, item) for number, item in parts]
    worth = 1 / sum(share**2 / item.total for share, item in shares)
    # A share of 0 has no odds to multiply.
    bad = [(share, (item.bad + 1) / (item.total + 2), item) for share, item in shares]
    usual = sum(share * part for share, part, _ in bad)
    drifted = sum(share * times_odds(part, item.allowance) for share, part, item in bad)
    return Before(
        bad=worth * sum(share * item.bad / item.total for share, item in shares),
        total=worth,
        increase=sum(share * item.increase for share, item in shares),
        edge=None,
        allowance=max(odds(drifted) / odds(usual), 1.0),
    )
