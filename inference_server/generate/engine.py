"""The loop that generates: one thread, in which the sequences of a model take turns.

A turn is a token of an answer, or a piece of a prompt: while others wait for tokens, a long prompt goes in small
pieces, so that they go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import perf_counter
from typing import NamedTuple

import numpy as np

from edge_runtime.datatypes import Array
from edge_runtime.generation import Cache, Generator
from edge_runtime.tokens import Tokens
from edgemodel import metrics as contract
from inference_server.errors import Expired, TooManySequences
from inference_server.generate.limits import GenerationLimits
from inference_server.generate.sampling import Sampler
from inference_server.generate.stop_texts import StopTexts
from inference_server.generate.text_decoder import SEEN_TOKENS, TextDecoder
from inference_server.observability.tokens import TokenMetrics

PROMPT_TOKENS_A_TURN = 128
"""The tokens of a prompt in one turn if no other sequence waits for a token; more at a time are not faster."""
PROMPT_TOKENS_A_TURN_BESIDE_OTHERS = 32


class Piece(NamedTuple):
    """The text that a turn added to an answer."""

    text: str
    finish: str | None = None
    """The reason of the end, one of ``edgemodel.metrics.FINISH_REASONS``, with the last piece."""
    error: Exception | None = None
    """The error that ended the sequence, with contract.ERROR."""


@dataclass(frozen=True)
class GenerationRequest:
    """One sequence to generate."""

    prompt: Sequence[int]
    """The tokens of the prompt; at least one, and fewer than the context has."""
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stops: tuple[str, ...] = ()
    continues: bool = False
    """True if the answer goes on with the text of the prompt, so that it keeps a space at its beginning."""
    started: float = field(default_factory=perf_counter)
    """The ``perf_counter()`` at the head of the request."""


@dataclass(eq=False)
class TextSequence:
    """A sequence that waits or is generated; it has its numbers when it ends."""

    request: GenerationRequest
    deliver: Callable[[Piece], None]
    """The function that takes each piece, in the thread of the engine; the last one has ``finish``."""
    decoder: TextDecoder
    sampler: Sampler
    stops: StopTexts
    queued_at: float = field(default_factory=perf_counter)
    cache: Cache | None = None
    new_tokens: int = 0
    """The number of tokens that were generated."""
    last: int = -1
    must_end: str | None = None
    """The reason for which its next turn ends it; None: it goes on."""
    ended: bool = False
    first_at: float | None = None
    """The ``perf_counter()`` at the first token; None before."""
    last_at: float = 0.0

    @property
    def prompt_tokens(self) -> int:
        """The number of tokens of the prompt."""
        return len(self.request.prompt)

    @property
    def mean_gap_seconds(self) -> float | None:
        """The mean time between two tokens; None with less than two."""
        if self.first_at is None or self.new_tokens < 2:
            return None
        return (self.last_at - self.first_at) / (self.new_tokens - 1)

    def rest(self) -> str:
        """Returns the text that was held back, up to a stop text, once no more tokens follow."""
        text, found = self.stops.push(self.decoder.rest())
        return text if found else text + self.stops.rest()


class Engine:
    """The sequences of one model, of which some are generated and others wait. It is safe to call from any thread."""

    def __init__(
        self, generator: Generator, tokens: Tokens, stop_tokens: frozenset[int], limits: GenerationLimits
    ) -> None:
        """Takes the caches for all sequences, and starts the thread."""
        self._generator, self._tokens, self._stop_tokens, self.limits = generator, tokens, stop_tokens, limits
        self._nameless = tokens.missing(generator.vocabulary)
        self._free = [generator.new_cache(limits.context_tokens) for _ in range(limits.sequences)]
        self._waiting: deque[TextSequence] = deque()
        self._active: list[TextSequence] = []
        self.counts = TokenMetrics()
        """The counts, which the owner may replace before the first sequence."""
        self._closed = False
        self._changed = Condition()
        Thread(target=self._run, name="generate", daemon=True).start()

    def submit(self, request: GenerationRequest, deliver: Callable[[Piece], None]) -> TextSequence:
        """Begins a sequence as soon as there is room for it. Raises TooManySequences."""
        sequence = TextSequence(
            request,
            deliver,
            TextDecoder(self._tokens, request.prompt[-SEEN_TOKENS:] if request.continues else ()),
            Sampler(request.temperature, request.top_p, request.seed),
            StopTexts(request.stops),
        )
        with self._changed:
            limit = self.limits.sequences + self.limits.queue_length
            if (present := len(self._active) + len(self._waiting)) >= limit:
                raise TooManySequences(
                    f"{present} sequences are generated or wait, limit {limit}: {self.limits.sequences} at a time, and"
                    f" {self.limits.queue_length} may wait"
                )
            self._waiting.append(sequence)
            self._changed.notify()
        return sequence

    def cancel(self, sequence: TextSequence) -> None:
        """Ends a sequence whose client has left; it makes room at once, or after the turn that it is in."""
        with self._changed:
            sequence.must_end = contract.CANCELLED
            if sequence not in self._waiting:
                return  # its next turn ends it
            self._waiting.remove(sequence)
        self._end(sequence, contract.CANCELLED)

    def end_all(self) -> int:
        """Ends all sequences with what they have, as the server has to end, and returns their number."""
        with self._changed:
            active = len(self._active)
            for sequence in self._active:
                sequence.must_end = contract.TIME
            waiting, self._waiting = list(self._waiting), deque()
        for sequence in waiting:
            self._end(sequence, contract.ERROR, Expired("the server ends before the request has its turn"))
        return active + len(waiting)

    def close(self) -> None:
        """Ends all sequences and then the thread, which frees the decoder."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.end_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._active or self._closed):
                    self._changed.wait()
                if self._closed and not self._active:
                    break
                expired = self._admit()
            for sequence, waited in expired:
                said = f"the request waited {waited:.3g} s for its turn, its limit is {self.limits.timeout_seconds:g} s"
                self._end(sequence, contract.ERROR, Expired(said))
            for sequence in list(self._active):
                self._turn(sequence)
            used = sum(one.cache.tokens for one in self._active if one.cache is not None)
            self.counts.cache_bytes[contract.CACHE_USED] = used * self._generator.cache_bytes_per_token
        self._generator.close()

    def _admit(self) -> list[tuple[TextSequence, float]]:
        """Begins sequences that wait while there is room, and returns those that have waited for too long."""
        expired = []
        now = perf_counter()
        while self._waiting and (waited := now - self._waiting[0].queued_at) > self.limits.timeout_seconds:
            expired.append((self._waiting.popleft(), waited))
        while self._waiting and self._free:
            sequence = self._waiting.popleft()
            sequence.cache = self._free.pop()
            sequence.cache.tokens = 0
            self._active.append(sequence)
        return expired

    def _turn(self, sequence: TextSequence) -> None:
        cache = sequence.cache
        assert cache is not None, "an active sequence has a cache"
        if sequence.must_end is not None:
            self._end(sequence, sequence.must_end, text=sequence.rest())
            return
        try:
            fed = self._fed(sequence, cache)
            if fed is None:
                return
            self._take(sequence, cache, fed)
        except Exception as error:
            self._end(sequence, contract.ERROR, error)

    def _fed(self, sequence: TextSequence, cache: Cache) -> Array | None:
        """Feeds what the sequence has next, and returns the scores; None if more of its prompt is to come."""
        prompt = sequence.request.prompt
        if cache.tokens >= len(prompt):
            return self._generator.feed(cache, np.array([sequence.last]))
        size = PROMPT_TOKENS_A_TURN if len(self._active) == 1 else PROMPT_TOKENS_A_TURN_BESIDE_OTHERS
        piece = prompt[cache.tokens : cache.tokens + size]
        scores = self._generator.feed(cache, np.array(piece, np.int64))
        return scores if cache.tokens == len(prompt) else None

    def _take(self, sequence: TextSequence, cache: Cache, scores: Array) -> None:
        """Chooses a token, and hands on its text."""
        if len(self._nameless):
            scores[self._nameless] = -np.inf
        token = sequence.last = sequence.sampler.choose(scores)
        sequence.new_tokens += 1
        sequence.last_at = perf_counter()
        if sequence.first_at is None:
            sequence.first_at = sequence.last_at
            self.counts.record_first_token(sequence.prompt_tokens, sequence.first_at - sequence.request.started)
        if token in self._stop_tokens:
            self._end(sequence, contract.STOP, text=sequence.rest())
            return
        text, found = sequence.stops.push(sequence.decoder.push(token))
        if found:
            self._end(sequence, contract.STOP, text=text)
        elif sequence.new_tokens >= sequence.request.max_new_tokens:
            self._end(sequence, contract.LENGTH, text=text + sequence.rest())
        elif sequence.last_at - sequence.request.started > self.limits.max_seconds:
            self._end(sequence, contract.TIME, text=text + sequence.rest())
        else:
            sequence.deliver(Piece(text))

    def _end(self, sequence: TextSequence, finish: str, error: Exception | None = None, text: str = "") -> None:
        with self._changed:
            if sequence.ended:
                return
            sequence.ended = True
            read = 0 if sequence.cache is None else min(sequence.cache.tokens, sequence.prompt_tokens)
            if sequence.cache is not None:
                self._active.remove(sequence)
                self._free.append(sequence.cache)
                sequence.cache = None
        self.counts.record_end(
            finish, tokens_in=read, tokens_out=sequence.new_tokens, mean_gap_seconds=sequence.mean_gap_seconds
        )
        sequence.deliver(Piece(text, finish, error))
