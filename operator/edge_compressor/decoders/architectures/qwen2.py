"""Qwen 2 and 2.5: as Llama, with a bias on queries, keys and values, and a window in some layers."""

from edge_compressor.decoders.architecture import Architecture, DecoderShape, read_shape, windows_of_some_layers
from edge_compressor.decoders.config import Config


def read(config: Config) -> DecoderShape:
    """Returns the shape. Raises Unfit."""
    defaults = {"num_key_value_heads": 32, "max_position_embeddings": 32768}
    return read_shape(config, query_bias=True, windows=windows_of_some_layers(config), defaults=defaults)


ARCHITECTURE = Architecture("Qwen2ForCausalLM", read)
