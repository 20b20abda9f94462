"""Mistral: as Llama, but every layer attends to the last ``sliding_window`` tokens alone, if there is one."""

from edge_compressor.decoders.architecture import Architecture, DecoderShape, read_shape
from edge_compressor.decoders.config import Config


def read(config: Config) -> DecoderShape:
    """Returns the shape. Raises Unfit."""
    window = config.optional_whole("sliding_window", absent=4096)
    windows = (window,) * config.whole("num_hidden_layers")
    return read_shape(config, windows=windows, defaults={"num_key_value_heads": 8, "max_position_embeddings": 131072})


ARCHITECTURE = Architecture("MistralForCausalLM", read)
