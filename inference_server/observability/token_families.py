"""The metric families of models that generate text, for the exposition."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from edgemodel import metrics as contract
from inference_server.observability.histogram import add_histogram
from inference_server.observability.tokens import TokenMetrics, TokenTimes

_LABELS = (*contract.IDENTITY_LABELS, contract.PROCESS_LABEL)


class TokenFamilies:
    """The families, without series until ``add``."""

    def __init__(self) -> None:
        self._first = HistogramMetricFamily(
            contract.FIRST_TOKEN_SECONDS,
            "Seconds from the head of a request to its first token.",
            labels=(*_LABELS, contract.PROMPT_LABEL),
        )
        self._between = HistogramMetricFamily(
            contract.INTER_TOKEN_SECONDS, "Mean seconds between two tokens of a request.", labels=_LABELS
        )
        self._tokens = CounterMetricFamily(
            contract.TOKENS_TOTAL, "Tokens by direction.", labels=(*_LABELS, "direction")
        )
        self._finished = CounterMetricFamily(
            contract.FINISHED_TOTAL, "Requests that generated text, by what ended them.", labels=(*_LABELS, "reason")
        )
        self._cache = GaugeMetricFamily(
            contract.CACHE_BYTES, "Bytes of the cache of keys and values by state.", labels=(*_LABELS, "state")
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        """The families with the series that were added."""
        return self._first, self._between, self._tokens, self._finished, self._cache

    def add(self, labels: tuple[str, ...], counted: TokenMetrics) -> None:
        """Adds the series of one model; ``labels`` are the values of its identity and process."""
        warm, steady = counted.warm_up_and_steady()
        mine = dict(zip(_LABELS, labels, strict=True))
        self._add_times(mine, steady)
        if counted.is_warming_up or warm.count:
            self._add_times({**mine, contract.WARM_UP_LABEL: contract.WARM_UP}, warm)
        for direction, count in counted.tokens.items():
            self._tokens.add_metric((*labels, direction), count)
        for reason, count in counted.finished.items():
            self._finished.add_metric((*labels, reason), count)
        for state, size in counted.cache_bytes.items():
            self._cache.add_metric((*labels, state), size)

    def _add_times(self, labels: dict[str, str], times: TokenTimes) -> None:
        for bucket, histogram in times.first.items():
            add_histogram(
                self._first, contract.FIRST_TOKEN_SECONDS, {**labels, contract.PROMPT_LABEL: bucket}, histogram
            )
        add_histogram(self._between, contract.INTER_TOKEN_SECONDS, labels, times.between)
