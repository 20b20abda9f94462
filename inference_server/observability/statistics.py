"""The statistics extension: how often a model ran, and how long each part of the work took."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter, time
from typing import Any

from edgemodel import metrics as contract
from inference_server.observability.metrics import ModelMetrics


@dataclass(slots=True)
class _Sums:
    """Sums of seconds over ``count`` runs."""

    count: int = 0
    decoding: float = 0.0
    running: float = 0.0
    encoding: float = 0.0

    def add(self, count: int, decoding: float, running: float, encoding: float) -> None:
        self.count += count
        self.decoding += decoding
        self.running += running
        self.encoding += encoding

    def to_json(self) -> dict[str, Any]:
        return {
            "compute_input": _duration(self.count, self.decoding),
            "compute_infer": _duration(self.count, self.running),
            "compute_output": _duration(self.count, self.encoding),
        }


@dataclass(slots=True)
class Stats:
    """The statistics of one model. It is safe to call from several threads."""

    _requests: _Sums = field(default_factory=_Sums)
    _runs: int = 0
    _batches: dict[int, _Sums] = field(default_factory=dict)
    _last: float = 0.0
    """The Unix time of the last successful answer."""
    _lock: Any = field(default_factory=Lock)

    def count(self, requests: int, decoding: float, running: float, encoding: float) -> None:
        """Counts one run that answered ``requests``, with its total seconds."""
        with self._lock:
            self._runs += 1
            self._requests.add(requests, decoding, running, encoding)
            self._last = time()
            if requests > 1:
                self._batches.setdefault(requests, _Sums()).add(1, decoding, running, encoding)

    def to_json(self, metrics: ModelMetrics) -> dict[str, Any]:
        """Returns the JSON of the extension; nothing is cached. Runs of one request are not batches."""
        outcomes, duration, queue, inline = metrics.outcomes, metrics.duration, metrics.queue, metrics.inline
        good = outcomes[contract.OK]
        bad = sum(outcomes.values()) - good
        quick = inline.duration.count
        with self._lock:
            sums = copy(self._requests)
            sums.add(quick, inline.decoding, inline.running, inline.encoding)
            last = max(self._last, time() - perf_counter() + inline.last if quick else 0.0)
            return {
                "last_inference": round(last * 1000),
                "inference_count": sums.count,
                "execution_count": self._runs + quick,
                "inference_stats": {
                    "success": _duration(good, duration.sum),
                    "fail": _duration(bad, metrics.failed_seconds),
                    "queue": _duration(queue.count, queue.sum),
                    **sums.to_json(),
                    "cache_hit": _duration(0, 0),
                    "cache_miss": _duration(0, 0),
                },
                "batch_stats": _batch_stats(self._batches),
            }


def _batch_stats(batches: Mapping[int, _Sums]) -> list[dict[str, Any]]:
    return [{"batch_size": size, **batches[size].to_json()} for size in sorted(batches)]


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}
