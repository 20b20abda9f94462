"""llama.cpp: ``python llama_peer.py LIBRARIES MODEL.gguf THREADS CONTEXT`` answers as text_peer.py says;
``python llama_peer.py LIBRARIES quantize SOURCE.gguf MADE.gguf TYPE`` quantizes a model."""

import sys
from pathlib import Path

from llama_cpp import Decoder, Library
from text_peer import by_steps, serve

if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    library = Library(Path(folder))
    if arguments[0] == "quantize":
        library.quantize(Path(arguments[1]), Path(arguments[2]), arguments[3])
    else:
        decoder = Decoder(library, Path(arguments[0]), int(arguments[1]), int(arguments[2]))
        serve(by_steps(decoder.begin, decoder.step))
