"""The text of queries.

A counter never falls within one process of a server, and every process has a label of its own. So the count of a
process is its largest value in a window, exactly: no rate is extrapolated over a gap, a restart is another series, and
``max`` removes duplicates of two replicas of Prometheus.
"""

from collections.abc import Mapping

from edgemodel import metrics

BEFORE_SECONDS = 3600
"""The distance before a window in which a query looks for a process that existed before it: scrapes may fail for as
long."""


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


def age_of_newest(selector: str) -> str:
    """Returns the query for the seconds since each node's newest sample, by Prometheus' clock alone.

    Nodes whose last scrape failed are left out.
    """
    return f"min by (node) (time() - timestamp({selector}))"


def smallest(selector: str, *labels: str) -> str:
    """Returns the query for the smallest of each node's present values, by ``labels``."""
    return f"min by ({', '.join(('node', *labels))}) ({selector})"


def select(metric: str, labels: Mapping[str, str], nodes: tuple[str, ...] = ()) -> str:
    """Returns a selector of ``metric`` with these labels, which may hold any characters; ``nodes`` empty: all nodes."""
    matchers = [f"{key}={quote(value)}" for key, value in labels.items()]
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
