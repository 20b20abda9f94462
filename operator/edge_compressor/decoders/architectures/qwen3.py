"""Qwen 3: as Llama, with a norm of queries and keys within each head, and a window in some layers."""

from edge_compressor.decoders.architecture import Architecture, DecoderShape, read_shape, windows_of_some_layers
from edge_compressor.decoders.config import Config


def read(config: Config) -> DecoderShape:
    """Returns the shape. Raises Unfit."""
    bias = config.flag("attention_bias", default=False)
    defaults = {"num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 32768}
    return read_shape(
        config,
        query_bias=bias,
        output_bias=bias,
        head_norms=True,
        windows=windows_of_some_layers(config),
        defaults=defaults,
    )


ARCHITECTURE = Architecture("Qwen3ForCausalLM", read)
