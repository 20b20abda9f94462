"""The text of queries. Pure.

A counter never falls within one process of a server, and every process has a label of its own. So what a process
counted is its largest value in a window, exactly: no rate is extrapolated over a gap, a restart is another series, and
two replicas of Prometheus that scraped the same server are told by ``max``.
"""

from collections.abc import Mapping

from edgemodel import metrics

GROUP = ("node", "revision", "outcome", "correct", "le")
"""What counts are told apart by; a metric lacks the labels that it does not have."""
COUNTERS = (metrics.REQUESTS_TOTAL, metrics.FEEDBACK_TOTAL)
BUCKETS = (f"{metrics.DURATION_SECONDS}_bucket",)


BEFORE_SECONDS = 3600
"""How far back a process is looked for that was there before a window: scrapes may fail for as long."""


def counted_since(selector: str, seconds: int) -> str:
    """What was counted since the last scrape before the last ``seconds``.

    By a process that was not scraped in the BEFORE_SECONDS before, everything: it began since.
    """
    by = f"by ({_labels(metrics.PROCESS_LABEL)})"
    grown = f"max {by} (max_over_time({selector}[{seconds}s]))"
    before = f"max {by} (max_over_time({selector}[{BEFORE_SECONDS}s] offset {seconds}s))"
    return f"sum by ({_labels()}) ({grown} - ({before} or 0 * {grown}))"


def counted_within(selector: str, seconds: int) -> str:
    """What was counted in the last ``seconds`` between the first and the last scrape of each process.

    Too little by what was counted before the first scrape, and never too much, whatever Prometheus lost.
    """
    by = f"by ({_labels(metrics.PROCESS_LABEL)})"
    largest, smallest = (
        f"max {by} (max_over_time({selector}[{seconds}s]))",
        f"min {by} (min_over_time({selector}[{seconds}s]))",
    )
    return f"sum by ({_labels()}) ({largest} - {smallest})"


def age_of_newest(selector: str) -> str:
    """Seconds since the newest sample of each node whose last scrape succeeded, by Prometheus' clock alone."""
    return f"min by (node) (time() - timestamp({selector}))"


def least(selector: str, *labels: str) -> str:
    """The smallest of each node's present values."""
    return f"min by ({', '.join(('node', *labels))}) ({selector})"


def select(names: tuple[str, ...], labels: Mapping[str, str], nodes: tuple[str, ...] = ()) -> str:
    """A selector of metrics ``names`` with these labels, whatever characters these hold; ``nodes`` empty: of all."""
    matchers = [f"__name__=~{quote('|'.join(names))}", *(f"{key}={quote(value)}" for key, value in labels.items())]
    if nodes:
        matchers.append(f"node=~{quote('|'.join(map(_literal, nodes)))}")
    return "{" + ", ".join(matchers) + "}"


def quote(text: str) -> str:
    """``text`` as a string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _literal(text: str) -> str:
    """``text`` in a regular expression that matches nothing else; RE2 lets nothing be escaped beyond ASCII."""
    return "".join(c if c.isalnum() or c in "-_" or not c.isascii() else f"\\{c}" for c in text)


def _labels(*more: str) -> str:
    return ", ".join((*GROUP, *more))
