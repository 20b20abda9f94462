"""The text of queries.

A counter never falls within one process of a server, and every process has a label of its own. So the count of a
process is its largest value in a window, exactly: no rate is extrapolated over a gap, a restart is another series, and
``max`` removes duplicates of two replicas of Prometheus.
"""

from collections.abc import Mapping
from math import ceil

from edgemodel import metrics

BEFORE_SECONDS = 3600
"""The distance before a window in which a query looks for a process that existed before it: scrapes may fail for as
long."""
MINUTE = 60
"""The length of the periods, in seconds, whose counts show how dependent requests are."""
MAX_MINUTES = 240
"""The largest number of them in a query: Prometheus keeps all of them in memory, of every node, and refuses a query of
too many."""


def counted_since(selector: str, label: str, seconds: int) -> str:
    """Returns the query for the growth since the last scrape before the last ``seconds``, by node and ``label``.

    A process that was not scraped in the BEFORE_SECONDS before counts in full: it started since.
    """
    by = f"by (node, {label}, {metrics.PROCESS_LABEL})"
    grown = f"max {by} (max_over_time({selector}[{seconds}s]))"
    before = f"max {by} (max_over_time({selector}[{BEFORE_SECONDS}s] offset {seconds}s))"
    return f"sum by (node, {label}) ({grown} - ({before} or 0 * {grown}))"


def counted_within(selector: str, label: str, seconds: int) -> str:
    """Returns the query for the growth in the last ``seconds`` between each process' first and last scrape.

    It misses what was counted before the first scrape, but is never too much, whatever data Prometheus lost.
    """
    by = f"by (node, {label}, {metrics.PROCESS_LABEL})"
    largest = f"max {by} (max_over_time({selector}[{seconds}s]))"
    smallest = f"min {by} (min_over_time({selector}[{seconds}s]))"
    return f"sum by (node, {label}) ({largest} - {smallest})"


def counted_in_all(selector: str, label: str, seconds: int) -> str:
    """Returns the query for all that the processes have counted that were scraped in the last ``seconds``, by node and
    ``label``."""
    largest = f"max by (node, {label}, {metrics.PROCESS_LABEL}) (max_over_time({selector}[{seconds}s]))"
    return f"sum by (node, {label}) ({largest})"


def sums_over_minutes(selector: str, total_selector: str, label: str, seconds: int, apart: str = "") -> str:
    """Returns the query for sums over the minutes of the last ``seconds``, by node and ``label``; over at most
    MAX_MINUTES of them, evenly spaced. ``apart`` is another label of the series, over whose values the sums are.

    With ``k`` counted in a minute by node and ``label``, and ``n`` by the node in all that ``total_selector`` selects,
    the samples of label ``sum`` are the sums of ``k``, ``k k`` and ``k n``, and those of ``n`` and ``n n`` by node
    alone. A process does not count in its first minute.
    """
    every = MINUTE * ceil(max(seconds, 1) / (MAX_MINUTES * MINUTE))
    kept = f"node, {label}, {apart}" if apart else f"node, {label}"
    counted = f"sum by (node, {label}) ({_grown(selector, kept)})"
    total = f"sum by (node) ({_grown(total_selector, kept)})"
    sums = {
        "k": counted,
        "kk": f"({counted}) ^ 2",
        "kn": f"({counted}) * on (node) group_left () ({total})",
        "n": total,
        "nn": f"({total}) ^ 2",
    }
    return " or ".join(
        f'label_replace(sum_over_time(({what})[{seconds}s:{every}s]), "sum", "{name}", "", "")'
        for name, what in sums.items()
    )


def _grown(selector: str, labels: str) -> str:
    by = f"by ({labels}, {metrics.PROCESS_LABEL})"
    return f"max {by} ({selector}) - max {by} ({selector} offset {MINUTE}s)"


def age_of_newest(selector: str) -> str:
    """Returns the query for the seconds since each node's newest sample, by Prometheus' clock alone.

    Nodes whose last scrape failed are left out.
    """
    return f"min by (node) (time() - timestamp({selector}))"


def smallest(selector: str, *labels: str) -> str:
    """Returns the query for the smallest of each node's present values, by ``labels``."""
    return f"min by ({', '.join(('node', *labels))}) ({selector})"


def select(metric: str, labels: Mapping[str, str], nodes: tuple[str, ...] = (), more: str = "") -> str:
    """Returns a selector of ``metric`` with these labels, which may hold any characters, and ``more``, a matcher;
    ``nodes`` empty: all nodes."""
    matchers = [f"{key}={quote(value)}" for key, value in labels.items()]
    if more:
        matchers.append(more)
    if nodes:
        matchers.append(f"node=~{quote('|'.join(map(_literal, nodes)))}")
    return f"{metric}{{{', '.join(matchers)}}}"


def quote(text: str) -> str:
    """Returns ``text`` as a PromQL string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def fill_in(query: str, *, namespace: str, model: str, candidate: str, stable: str) -> str:
    """Returns a user's query with ``$namespace``, ``$model``, ``$candidate`` and ``$stable`` replaced by the names.

    Names are DNS labels, so there is nothing to quote.
    """
    query = query.replace("$namespace", namespace).replace("$model", model)
    return query.replace("$candidate", candidate).replace("$stable", stable)


def _literal(text: str) -> str:
    """Returns a regular expression that matches ``text`` alone; RE2 allows no escapes beyond ASCII."""
    return "".join(c if c.isalnum() or c in "-_" or not c.isascii() else f"\\{c}" for c in text)
