"""The counts of a model that generates text, beside those of its requests."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from threading import Lock

from edgemodel import metrics as contract
from edgemodel.generation import TokenObjectives
from inference_server.observability.histogram import Histogram

NO_OBJECTIVES = TokenObjectives()


@dataclass(frozen=True)
class TokenTimes:
    """The times, in seconds, of the requests to a generator."""

    first: Mapping[str, Histogram]
    """The times to the first token by the bucket of the prompt's length."""
    between: Histogram
    """The mean times between two tokens."""

    @property
    def count(self) -> int:
        """The number of requests that had their first token."""
        return sum(histogram.count for histogram in self.first.values())


class TokenMetrics:
    """The counts of one revision of one model that generates text. It is safe to call from several threads."""

    def __init__(self, objectives: TokenObjectives = NO_OBJECTIVES) -> None:
        self._first_edges = contract.duration_buckets(objectives.first_token, contract.FIRST_TOKEN_BUCKETS)
        edges = contract.duration_buckets(objectives.inter_token, contract.INTER_TOKEN_BUCKETS)
        self._first: dict[str, Histogram] = {}
        self._between = Histogram(edges)
        self._warm_up: TokenTimes | None = None
        """The times at the end of the warm-up; None while it lasts."""
        self.tokens = dict.fromkeys(contract.TOKEN_DIRECTIONS, 0)
        self.finished = dict.fromkeys(contract.FINISH_REASONS, 0)
        self.cache_bytes = dict.fromkeys(contract.CACHE_STATES, 0)
        """The bytes by state, which the owner of the cache writes."""
        self._lock = Lock()

    def record_first_token(self, prompt_tokens: int, seconds: float) -> None:
        """Counts the first token of a request, ``seconds`` after the request's head arrived."""
        with self._lock:
            bucket = contract.prompt_bucket(prompt_tokens)
            self._first.setdefault(bucket, Histogram(self._first_edges)).observe(seconds)

    def record_end(self, reason: str, *, tokens_in: int, tokens_out: int, mean_gap_seconds: float | None) -> None:
        """Counts a request at its end, for one of contract.FINISH_REASONS.

        ``tokens_in`` are those of the prompt that were read, ``tokens_out`` the generated ones; ``mean_gap_seconds`` is
        the mean time between two of these, None with less than two.
        """
        with self._lock:
            self.finished[reason] += 1
            self.tokens[contract.TOKENS_IN] += tokens_in
            self.tokens[contract.TOKENS_OUT] += tokens_out
            if mean_gap_seconds is not None:
                self._between.observe(mean_gap_seconds)

    def end_warm_up(self) -> None:
        """Ends the warm-up, which ``ModelMetrics.end_warm_up`` calls."""
        with self._lock:
            self._warm_up = self._copy()

    @property
    def is_warming_up(self) -> bool:
        """True until ``end_warm_up``."""
        return self._warm_up is None

    def warm_up_and_steady(self) -> tuple[TokenTimes, TokenTimes]:
        """Returns the times of the warm-up and those since its end."""
        with self._lock:
            total = self._copy()
        warm = self._warm_up or total
        nothing = Histogram(self._first_edges)
        first = {bucket: histogram - warm.first.get(bucket, nothing) for bucket, histogram in total.first.items()}
        return warm, TokenTimes(first, total.between - warm.between)

    def _copy(self) -> TokenTimes:
        return TokenTimes({bucket: copy(histogram) for bucket, histogram in self._first.items()}, copy(self._between))
