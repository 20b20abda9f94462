"""Finds the texts at which a client wants the generation to stop, also across the borders of tokens."""

from collections.abc import Sequence


class StopTexts:
    """The search in the text of one sequence. Text that may be the beginning of a stop text is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        """Takes ``stops``, none of which is empty."""
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Returns the text that is certain now, and whether a stop text was found, which is not part of it."""
        if not self._stops:
            return text, False
        text = self._held + text
        found = [at for at in map(text.find, self._stops) if at >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        certain = len(text) - self._beginning(text)
        self._held = text[certain:]
        return text[:certain], False

    def rest(self) -> str:
        """Returns the text that was held back, once no more follows."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """Returns the length of the longest end of ``text`` that is the beginning of a stop text."""
        longest = min(max(map(len, self._stops)) - 1, len(text))
        for length in range(longest, 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
