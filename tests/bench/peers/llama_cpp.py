"""llama.cpp by its C interface: the libraries of an npm package, and the declarations of a package of PyPI.

The library picks the fastest of its builds for this processor.
"""

from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI
from llama_cpp_py_sync import _cffi_bindings

TYPES = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9}


class Library:
    """The functions of the library, which was found in a folder."""

    def __init__(self, folder: Path) -> None:
        ffi: Any = _cffi_bindings.get_ffi()
        (ggml_path,), (llama_path,) = folder.glob("libggml.v*.so"), folder.glob("libllama.v*.so")
        self._held = [ffi.dlopen(str(path)) for path in (folder / "libggml-base.so", ggml_path)]
        self.ffi, self.llama = ffi, ffi.dlopen(str(llama_path))
        loader = FFI()
        loader.cdef("void ggml_backend_load_all_from_path(const char* path);")
        self._loader = loader.dlopen(str(ggml_path))
        self._loader.ggml_backend_load_all_from_path(str(folder).encode())

    def quantize(self, source: Path, made: Path, kind: str) -> None:
        """Writes ``source`` with the weights of a type."""
        settings = self.llama.llama_model_quantize_default_params()
        settings.ftype, settings.nthread = TYPES[kind], 1
        status = self.llama.llama_model_quantize(
            str(source).encode(), str(made).encode(), self.ffi.new("llama_model_quantize_params*", settings)
        )
        if status != 0:
            raise SystemExit(f"llama.cpp cannot quantize {source} as {kind}: {status}")


class Decoder:
    """A model with a context, in which one text is read at a time."""

    def __init__(self, library: Library, path: Path, threads: int, context: int) -> None:
        self._ffi, self._llama = library.ffi, library.llama
        settings = self._llama.llama_context_default_params()
        settings.n_ctx = context
        settings.n_batch = settings.n_ubatch = 512
        settings.n_threads = settings.n_threads_batch = threads
        self._model = self._llama.llama_model_load_from_file(
            str(path).encode(), self._llama.llama_model_default_params()
        )
        self._context = self._llama.llama_init_from_model(self._model, settings)
        self.vocabulary = self._llama.llama_vocab_n_tokens(self._llama.llama_model_get_vocab(self._model))
        self._at = 0

    def begin(self, prompt: list[int]) -> int:
        """Reads a prompt, and returns the most probable token that follows."""
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), True)
        self._at = 0
        for start in range(0, len(prompt), 512):
            self.read(prompt[start : start + 512])
        return int(np.argmax(self.scores(-1)))

    def step(self, token: int) -> int:
        """Reads a token, and returns the most probable one that follows."""
        self.read([token])
        return int(np.argmax(self.scores(-1)))

    def read(self, tokens: list[int]) -> None:
        """Reads tokens, and keeps the scores after the last one."""
        batch = self._llama.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place] = token, self._at + place
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            batch.logits[place] = place == len(tokens) - 1
        status = self._llama.llama_decode(self._context, batch)
        self._llama.llama_batch_free(batch)
        if status != 0:
            raise SystemExit(f"llama.cpp cannot read {len(tokens)} tokens: {status}")
        self._at += len(tokens)

    def scores(self, place: int) -> Any:
        """Returns the scores after a place of the last tokens, float32 (vocabulary,)."""
        found = self._llama.llama_get_logits_ith(self._context, place)
        return np.frombuffer(self._ffi.buffer(found, self.vocabulary * 4), np.float32)
