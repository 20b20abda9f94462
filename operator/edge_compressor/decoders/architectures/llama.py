"""Llama, and what has its class: Llama 2 and 3, TinyLlama, SmolLM and SmolLM2."""

from edge_compressor.decoders.architecture import Architecture, DecoderShape, read_shape
from edge_compressor.decoders.config import Config


def read(config: Config) -> DecoderShape:
    """Returns the shape. Raises Unfit."""
    bias = config.flag("attention_bias", default=False)
    config.only("rope_interleaved", False)
    config.ignore("is_llama_config", "pretraining_tp")
    return read_shape(config, query_bias=bias, output_bias=bias, inner_bias=config.flag("mlp_bias", default=False))


ARCHITECTURE = Architecture("LlamaForCausalLM", read)
