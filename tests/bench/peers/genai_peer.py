"""onnxruntime-genai on the same file: ``python genai_peer.py FOLDER THREADS CONTEXT`` answers as text_peer.py says."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime_genai
from text_peer import by_steps, serve


class Decoder:
    """A model, in which one text is read at a time."""

    def __init__(self, folder: Path, threads: int, context: int) -> None:
        config = onnxruntime_genai.Config(str(folder))
        config.clear_providers()
        self._model = onnxruntime_genai.Model(config)
        self._context = context
        self._generator: Any = None

    def begin(self, prompt: list[int]) -> int:
        """Reads a prompt, and returns the most probable token that follows."""
        settings = onnxruntime_genai.GeneratorParams(self._model)
        settings.set_search_options(max_length=self._context, do_sample=False)
        self._generator = onnxruntime_genai.Generator(self._model, settings)
        self._generator.append_tokens(prompt)
        return self.step(-1)

    def step(self, _: int) -> int:
        """Reads the token that it chose itself, and returns the most probable one that follows."""
        self._generator.generate_next_token()
        return int(self._generator.get_next_tokens()[0])


def described(folder: Path, to: Path, threads: int, context: int) -> Path:
    """Returns ``to`` with links to the files of ``folder``, and with the description that the library wants."""
    for path in folder.iterdir():
        (to / path.name).symlink_to(path)
    about = json.loads((folder / "config.json").read_text())
    names = {"key": "past_key_values.%d.key", "value": "past_key_values.%d.value"}
    decoder = {
        "session_options": {"intra_op_num_threads": threads, "session.intra_op.allow_spinning": "0"},
        "filename": "model.onnx",
        "head_size": about["head_dim"],
        "hidden_size": about["hidden_size"],
        "inputs": {
            "input_ids": "input_ids", "attention_mask": "attention_mask",
            **{f"past_{kind}_names": name for kind, name in names.items()},
        },
        "outputs": {
            "logits": "logits",
            **{f"present_{kind}_names": name.replace("past_key_values", "present") for kind, name in names.items()},
        },
        "num_attention_heads": about["num_attention_heads"],
        "num_hidden_layers": about["num_hidden_layers"],
        "num_key_value_heads": about["num_key_value_heads"],
    }  # fmt: skip
    model = {
        "type": "llama", "vocab_size": about["vocab_size"], "context_length": context,
        "bos_token_id": about["bos_token_id"], "eos_token_id": about["vocab_size"] - 1,
        "pad_token_id": about["eos_token_id"], "decoder": decoder,
    }  # fmt: skip
    search = {"max_length": context, "past_present_share_buffer": True, "do_sample": False}
    (to / "genai_config.json").write_text(json.dumps({"model": model, "search": search}))
    return to


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        threads, context = int(sys.argv[2]), int(sys.argv[3])
        decoder = Decoder(described(Path(sys.argv[1]).resolve(), Path(scratch), threads, context), threads, context)
        serve(by_steps(decoder.begin, decoder.step))
