"""A model that generates text: its decoder, tokenizer and chat template, behind one interface.

Whoever knows only the Open Inference Protocol sees a model with the input ``text_input`` and the output
``text_output``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

import numpy as np

from edge_runtime.backend import LoadedModel, RefusedInputs, RunFailure
from edge_runtime.datatypes import Array
from edge_runtime.generation import Generator
from edge_runtime.signature import Signature
from edge_runtime.tokens import Tokens
from edgemodel import metrics as contract
from edgemodel.artifact import Tensor
from edgemodel.error_words import in_words
from inference_server.errors import InvalidRequest
from inference_server.generate.chat import ChatTemplate, Message
from inference_server.generate.control_names import ControlNames
from inference_server.generate.engine import Engine, GenerationRequest, Piece, TextSequence
from inference_server.generate.limits import GenerationLimits
from inference_server.observability.tokens import TokenMetrics

TEXT_INPUT, TEXT_OUTPUT, MAX_TOKENS = "text_input", "text_output", "max_tokens"


class TextModel(LoadedModel):
    """A model that generates text. It is safe to call from several threads."""

    concurrent = True

    def __init__(
        self,
        generator: Generator,
        tokens: Tokens,
        template: ChatTemplate | None,
        stop_tokens: frozenset[int],
        limits: GenerationLimits,
    ) -> None:
        """Takes ``template``, None for a model that continues texts, but holds no conversations."""
        self.platform, self.placed = generator.platform, dict(generator.placed)
        self.signature = Signature(
            {TEXT_INPUT: Tensor(TEXT_INPUT, "BYTES", (1,))},
            {TEXT_OUTPUT: Tensor(TEXT_OUTPUT, "BYTES", (1,))},
            {MAX_TOKENS: Tensor(MAX_TOKENS, "INT64", (1,))},
        )
        self.tokens, self.limits = tokens, limits
        self.graph: LoadedModel = generator
        """The decoder as the model that its golden set was recorded of."""
        self._template, self._vocabulary = template, generator.vocabulary
        self._control_names = ControlNames(tokens.control_names)
        self._cache_bytes = generator.cache_bytes_per_token * limits.context_tokens * limits.sequences
        self._engine = Engine(generator, tokens, stop_tokens, limits)

    def count_in(self, counts: TokenMetrics) -> None:
        """Counts in ``counts`` from now on."""
        counts.cache_bytes[contract.CACHE_RESERVED] = self._cache_bytes
        self._engine.counts = counts

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """Returns the tokens of the prompt of a conversation. Raises InvalidRequest."""
        if self._template is None:
            raise InvalidRequest(
                "the model has no chat template, so it holds no conversations: ask /v1/completions with a prompt"
            )
        marked, mark = self._control_names.split(messages)
        text = self._template.render(marked)
        parts = text.split(mark) if mark else [text]
        self._check_length(text, "messages")
        return [token for part in parts for token in self.tokens.encode(part, special=False)]

    def text(self, text: str) -> list[int]:
        """Returns the tokens of a prompt, in which the names of special tokens are those tokens.

        It begins once as the tokenizer begins a text, also if the client wrote that beginning. Raises InvalidRequest.
        """
        self._check_length(text, "prompt")
        ids, before = self.tokens.encode(text, special=True), self.tokens.before
        twice = before and ids[len(before) : 2 * len(before)] == before
        return ids[len(before) :] if twice else ids

    def check(self, prompt: Sequence[int], parameter: str) -> int:
        """Returns the number of tokens for which the context has room after ``prompt``.

        Raises InvalidRequest for a prompt without tokens, with unknown ones, or without room for an answer.
        """
        if not prompt:
            raise InvalidRequest(f"{parameter} is empty: it has no tokens", parameter)
        if not all(0 <= token < self._vocabulary for token in prompt):
            wrong = next(token for token in prompt if not 0 <= token < self._vocabulary)
            raise InvalidRequest(f"{parameter} has the token {wrong}, want 0 to {self._vocabulary - 1}", parameter)
        room = self.limits.context_tokens - len(prompt)
        if room < 1:
            raise _too_long(f"{len(prompt)}", self.limits.context_tokens, parameter)
        return min(room, self.limits.max_new_tokens)

    def submit(self, request: GenerationRequest, deliver: Callable[[Piece], None]) -> TextSequence:
        """Begins a sequence; ``deliver`` takes its pieces in another thread. Raises TooManySequences."""
        return self._engine.submit(request, deliver)

    def cancel(self, sequence: TextSequence) -> None:
        """Ends a sequence whose client has left."""
        self._engine.cancel(sequence)

    def end_all(self) -> int:
        """Ends all sequences with what they have, and returns their number."""
        return self._engine.end_all()

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Returns the text that continues ``text_input``, word for word the most probable one.

        Raises RefusedInputs, RunFailure.
        """
        value = feeds[TEXT_INPUT][0]
        try:
            prompt = self.text(value.decode() if isinstance(value, bytes) else str(value))
            room = self.check(prompt, TEXT_INPUT)
        except (InvalidRequest, UnicodeError) as error:
            raise RefusedInputs(in_words(error)) from error
        wanted = int(feeds[MAX_TOKENS][0]) if MAX_TOKENS in feeds else room
        if wanted < 1:
            raise RefusedInputs(f"{MAX_TOKENS} is {wanted}, want at least 1")
        pieces: SimpleQueue[Piece] = SimpleQueue()
        self.submit(GenerationRequest(prompt, min(wanted, room), continues=True), pieces.put)
        text = ""
        while (piece := pieces.get()).finish is None:
            text += piece.text
        if piece.error is not None:
            raise piece.error if isinstance(piece.error, RunFailure) else RunFailure(str(piece.error))
        return [np.array([text + piece.text], object) for _ in outputs]

    def close(self) -> None:
        """Ends all sequences, and frees decoder and template."""
        self._engine.close()
        if self._template is not None:
            self._template.close()

    def _check_length(self, text: str, parameter: str) -> None:
        """Raises InvalidRequest for a text that need not be read to know that it is too long."""
        limit = self.limits.context_tokens
        if len(text) > limit * self.tokens.longest:
            raise _too_long(f"at least {-(-len(text) // self.tokens.longest)}", limit, parameter)


def _too_long(tokens: str, limit: int, parameter: str) -> InvalidRequest:
    return InvalidRequest(
        f"the prompt has {tokens} tokens, and the context has {limit}: at least one has to be left for the answer",
        parameter,
    )


def graph_of(model: LoadedModel) -> LoadedModel:
    """Returns the model that a golden set belongs to: the decoder of one that generates text, any other itself."""
    return model.graph if isinstance(model, TextModel) else model
