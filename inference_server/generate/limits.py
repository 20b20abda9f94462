"""The limits of generation, and whether their memory is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgemodel.generation import RUNTIME_BYTES, Generation, TokenObjectives


@dataclass(frozen=True)
class GenerationSettings:
    """The settings of a server for generation."""

    generation: Generation = field(default_factory=Generation)
    queue_length: int = 256
    """The number of sequences that may wait for their turn."""
    timeout_seconds: float = 30
    """The longest time that a sequence waits for its turn."""
    objectives: TokenObjectives = field(default_factory=TokenObjectives)


DEFAULTS = GenerationSettings()


@dataclass(frozen=True)
class GenerationLimits:
    """The limits of one model."""

    context_tokens: int
    """The largest number of tokens of a prompt and its answer together."""
    sequences: int
    """The number of sequences that are generated at a time."""
    max_new_tokens: int
    """The largest number of tokens of an answer."""
    max_seconds: float
    """The longest time from the head of a request to the end of its answer."""
    queue_length: int
    """The number of sequences that may wait for their turn."""
    timeout_seconds: float
    """The longest time that a sequence waits for its turn."""
    objectives: TokenObjectives = field(default_factory=TokenObjectives)
    """The objectives at which the histograms of its times have a bucket edge."""


def limits_of(settings: GenerationSettings, model_tokens: int) -> GenerationLimits:
    """Returns the limits for a model that knows ``model_tokens`` positions.

    Raises ValueError if the settings ask for more of them than there are.
    """
    given = settings.generation
    if given.context_tokens is not None and given.context_tokens > model_tokens:
        raise ValueError(
            f"contextTokens is {given.context_tokens}, the model knows {model_tokens} positions: set at most that"
        )
    context = given.context_of(model_tokens)
    return GenerationLimits(
        context_tokens=context,
        sequences=given.sequence_count,
        max_new_tokens=min(given.new_tokens, context),
        max_seconds=given.stream_seconds,
        queue_length=settings.queue_length,
        timeout_seconds=settings.timeout_seconds,
        objectives=settings.objectives,
    )


def shortage(weights_bytes: int, cache_bytes_per_token: int, limits: GenerationLimits, limit: int | None) -> str | None:
    """Returns why the model does not fit into ``limit`` bytes of memory; None if it does, or there is no limit."""
    cache = cache_bytes_per_token * limits.context_tokens * limits.sequences
    needed = weights_bytes + cache + RUNTIME_BYTES
    if limit is None or needed <= limit:
        return None
    return (
        f"needs {_megabytes(needed)}, the memory limit is {_megabytes(limit)}: weights {_megabytes(weights_bytes)},"
        f" cache {_megabytes(cache)} for {limits.sequences} sequences of {limits.context_tokens} tokens, runtime"
        f" {_megabytes(RUNTIME_BYTES)}; raise the limit, or set fewer sequences or contextTokens"
    )


def memory_limit(file: Path = Path("/sys/fs/cgroup/memory.max")) -> int | None:
    """Returns the memory limit of this process's container in bytes; None if there is none, or no cgroup v2."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
