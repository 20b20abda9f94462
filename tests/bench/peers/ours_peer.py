"""The loop of this project without its server: ``python ours_peer.py FOLDER THREADS CONTEXT`` answers as text_peer.py
says. The decoder is loaded as the server loads it, from the same command line."""

import sys
from pathlib import Path

import numpy as np
from text_peer import by_steps, serve

from edge_runtime.loading import load_generator
from inference_server import settings
from inference_server.generate.engine import PROMPT_TOKENS_A_TURN
from inference_server.memory import settle


class Decoder:
    """A decoder with one cache."""

    def __init__(self, folder: Path, threads: int, context: int) -> None:
        options = settings.parse_serve([str(folder), "--intra-op-threads", str(threads), "--concurrency", "1"], [])
        self._generator = load_generator(folder / "model.onnx", "ONNXRuntime", options.tuning)
        self._cache = self._generator.new_cache(context)
        settle()

    def begin(self, prompt: list[int]) -> int:
        """Reads a prompt, in the pieces that the server reads, and returns the most probable token that follows."""
        self._cache.tokens = 0
        for start in range(0, len(prompt), PROMPT_TOKENS_A_TURN):
            scores = self._generator.feed(self._cache, np.array(prompt[start : start + PROMPT_TOKENS_A_TURN], np.int64))
        return int(scores.argmax())

    def step(self, token: int) -> int:
        """Reads a token, and returns the most probable one that follows."""
        return int(self._generator.feed(self._cache, np.array([token])).argmax())


if __name__ == "__main__":
    decoder = Decoder(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    serve(by_steps(decoder.begin, decoder.step))
