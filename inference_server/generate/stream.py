"""The pieces of a sequence on their way from the engine's thread to a coroutine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from inference_server.generate.engine import GenerationRequest, Piece, TextSequence
from inference_server.generate.model import TextModel


class TextStream:
    """One sequence, as a listener sees it in the event loop."""

    def __init__(self, model: TextModel, request: GenerationRequest, ended: Callable[[Exception | None], None]) -> None:
        """Begins the sequence. ``ended`` is called once, in the event loop, with the error that ended it, if one did.

        Raises TooManySequences.
        """
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._pieces: deque[Piece] = deque()
        self._arrived = asyncio.Event()
        self._model = model
        self._sequence: TextSequence = model.submit(request, self._take)
        self.reason = ""
        """The reason of the end, one of ``edgemodel.metrics.FINISH_REASONS``, once it has ended."""

    @property
    def prompt_tokens(self) -> int:
        """The number of tokens of the prompt."""
        return self._sequence.prompt_tokens

    @property
    def new_tokens(self) -> int:
        """The number of tokens that were generated so far."""
        return self._sequence.new_tokens

    async def texts(self) -> AsyncGenerator[str, None]:
        """Yields the pieces of text, some of which are empty. Raises the error that ended the sequence."""
        while not self.reason:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pieces:
                piece = self._pieces.popleft()
                if piece.error is not None:
                    raise piece.error
                if piece.finish is not None:
                    self.reason = piece.finish
                yield piece.text

    def cancel(self) -> None:
        """Ends the sequence: nobody reads it any more."""
        self._model.cancel(self._sequence)

    def _take(self, piece: Piece) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server ended before the sequence did
            self._loop.call_soon_threadsafe(self._put, piece)

    def _put(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._arrived.set()
        if piece.finish is not None:
            self._ended(piece.error)
