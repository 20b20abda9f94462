"""The golden set of a decoder: texts, and the token that the artifact finds most likely after some of their places."""

from typing import Final

from edge_runtime.datatypes import Array
from edge_runtime.decoder import Decoder, Run, read_in_parts

TOKENS: Final = "tokens"
"""The array of the texts, int32 (texts, tokens), with UNJUDGED after their ends."""
EXPECTED: Final = "expected"
"""The array of the most likely tokens after each place of ``tokens``, of the same shape; UNJUDGED where none counts."""
UNJUDGED: Final = -1


def count_same(run: Run, decoder: Decoder, tokens: Array, expected: Array) -> int:
    """Returns at how many places the decoder finds the expected token most likely.

    Each text is read as it was recorded, whatever the decoder would say itself. Raises what ``run`` raises.
    """
    same = 0
    for text, wanted in zip(tokens, expected, strict=True):
        for places, logits in read_in_parts(run, decoder, text[text != UNJUDGED]):
            judged = wanted[places] != UNJUDGED
            same += int((logits.argmax(axis=1) == wanted[places])[judged].sum())
    return same
