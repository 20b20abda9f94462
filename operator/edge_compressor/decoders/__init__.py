"""Decoders made of the weights of Hugging Face: an ONNX graph with a key-value cache, written without their code.

``config.py`` reads the settings, of which none is passed over; ``architectures/`` has one file per architecture, found
by itself; ``weights.py`` reads tensors one at a time, and ``writing.py`` writes graph and weights.
"""

from edge_compressor.decoders.config import Unfit
from edge_compressor.decoders.writing import check_decoder, write_decoder

__all__ = ["Unfit", "check_decoder", "write_decoder"]
