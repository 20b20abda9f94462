"""The limits of a server whose model generates text, and what follows from them for its pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgemodel.plain import from_api

CONTEXT_TOKENS: Final = 2048
"""The context of a server whose EdgeModel names none, if the model's own is not shorter."""
SEQUENCES: Final = 2
NEW_TOKENS: Final = 512
"""The longest answer, if the context is not shorter."""
PROMPT_SECONDS: Final = 60
MAX_STREAM_SECONDS: Final = 300
"""The longest time of an answer, unless the EdgeModel names a longer one: nodes wait for it when they switch."""


RUNTIME_BYTES: Final = 64 * 2**20
"""The memory of a server besides weights and cache."""


@dataclass(frozen=True)
class GeneratorFacts:
    """The facts about a model that generates text from which the memory of its server follows."""

    context_tokens: int
    """The tokens that the model allows in a prompt and its answer together."""
    cache_bytes_per_token: int


def facts_of(manifest: Mapping[str, Any]) -> GeneratorFacts | None:
    """Returns the facts in the evidence of an artifact manifest; None for a model that generates no text."""
    section = manifest.get("generator")
    return GeneratorFacts(section["contextTokens"], section["cacheBytesPerToken"]) if section else None


@dataclass(frozen=True)
class Generation:
    """The limits of ``spec.serving.generate``; None for those that are left out."""

    context_tokens: int | None = None
    """The tokens of a prompt and its answer together."""
    sequences: int | None = None
    """The number of requests that are answered at a time, each with a cache of ``context_tokens``."""
    max_new_tokens: int | None = None
    max_stream_seconds: int | None = None
    """The time from the head of a request to the end of its answer."""

    def context_of(self, model_tokens: int) -> int:
        """Returns the context in tokens, for a model that allows ``model_tokens``."""
        return min(self.context_tokens or CONTEXT_TOKENS, model_tokens)

    def cache_bytes(self, model: GeneratorFacts) -> int:
        """Returns the bytes of the caches that a server reserves at its start."""
        return model.cache_bytes_per_token * self.context_of(model.context_tokens) * self.sequence_count

    @property
    def sequence_count(self) -> int:
        """The number of requests that are answered at a time."""
        return self.sequences or SEQUENCES

    @property
    def new_tokens(self) -> int:
        """The longest answer in tokens, as far as the context allows it."""
        return self.max_new_tokens or NEW_TOKENS

    @property
    def stream_seconds(self) -> int:
        """The longest time of an answer in seconds: by default a minute for the prompt and a second for each token, at
        most MAX_STREAM_SECONDS."""
        return self.max_stream_seconds or min(PROMPT_SECONDS + self.new_tokens, MAX_STREAM_SECONDS)


@dataclass(frozen=True)
class TokenObjectives:
    """The objectives, in seconds, at which the histograms of a server have a bucket edge; None: no objective."""

    first_token: float | None = None
    inter_token: float | None = None


def parse_generation(value: Any) -> Generation:
    """Returns the limits. Raises ValueError, which names the member, for one that the schema refuses."""
    return from_api(Generation, value, "spec.serving.generate")


@dataclass(frozen=True)
class KeyReference:
    """A key of a Secret in the EdgeModel's namespace."""

    name: str
    key: str


def parse_key_reference(value: Any, path: str) -> KeyReference:
    """Returns the reference. Raises ValueError, which names the member below ``path``, for one that the schema
    refuses."""
    return from_api(KeyReference, value, path)
