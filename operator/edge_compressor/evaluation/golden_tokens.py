"""The golden set of a decoder: prompts, what it says greedily, and at which places a node has to say the same.

A node reads prompt and answer as one text, and the token that it finds most likely after each is compared with the
recorded one: a token that differs does not change what is read next. Only places count where the recorded token leads
by CLEAR_MARGIN of the range of the logits: rounding, which differs between instruction sets, does not flip those, and a
layer with wrong scales flips many. All of it takes a few kilobytes.
"""

from pathlib import Path
from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_runtime.agreement import CLOSE_TOLERANCE
from edge_runtime.classes import clear_items
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array
from edge_runtime.decoder import Decoder, continue_greedily, read_in_parts
from edge_runtime.golden_tokens import EXPECTED, TOKENS, UNJUDGED
from edgemodel.artifact import TOKENS_AGREEMENT, Golden

PROMPTS: Final = 16
PROMPT_TOKENS: Final = 16
ANSWER_TOKENS: Final = 32
CLEAR_MARGIN: Final = 0.05
MIN_PERCENT: Final = "99"


def record_tokens(artifact: ModelFile, dataset: Dataset, decoder: Decoder, items: int, path: Path) -> Golden | None:
    """Writes up to ``items`` prompts, the beginnings of texts of ``dataset``, with their answers to ``path``.

    None, and no file, if no place is clear.
    """
    run = runtime.load(artifact, threads=usable_cores()).run
    width = PROMPT_TOKENS + ANSWER_TOKENS
    places = dataset.spread(min(items, PROMPTS))
    tokens, expected = (np.full((len(places), width), UNJUDGED, np.int32) for _ in range(2))
    for row, place in enumerate(places):
        prompt = dataset.text(int(place))[:PROMPT_TOKENS]
        text = np.concatenate([prompt, continue_greedily(run, decoder, prompt, ANSWER_TOKENS)])
        tokens[row, : len(text)] = text
        expected[row, : len(text)] = np.concatenate([_clear(one) for _, one in read_in_parts(run, decoder, text)])
        expected[row, : len(prompt) - 1] = UNJUDGED  # what follows within a prompt is not what the model says
    judged = int((expected != UNJUDGED).sum())
    if not judged:
        return None
    np.savez(path, allow_pickle=False, **{TOKENS: tokens, EXPECTED: expected})
    return Golden(items=judged, agreement=TOKENS_AGREEMENT, tolerance=CLOSE_TOLERANCE, min_percent=MIN_PERCENT)


def _clear(logits: Array) -> Array:
    """Returns the most likely token after each place, UNJUDGED where it does not lead clearly; (places,)."""
    return np.where(clear_items(logits, CLEAR_MARGIN), logits.argmax(axis=1), UNJUDGED)
