"""The interface of architectures: what the settings of one mean for the graph that is written.

A new architecture of the same kind (rotary positions, RMS norms, grouped queries, a gated inner layer) needs only a
file with an ``ARCHITECTURE`` in ``architectures/``, and a test with weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from edge_compressor.decoders.config import Config
from edge_compressor.decoders.rotary import read_angles
from edge_runtime.datatypes import Array

HEAD_STEP: Final = 16
"""The number of values of which the size of a head is a multiple, for GroupQueryAttention."""
_MAX_LAYERS: Final = 1024
_MAX_POSITIONS: Final = 1 << 22


@dataclass(frozen=True)
class DecoderShape:
    """All that determines the graph of a decoder, but its weights."""

    layers: int
    hidden: int
    """The number of values that pass from layer to layer for each token."""
    inner: int
    """The number of values between the products of the gated inner layer."""
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    positions: int
    """The largest number of tokens of a text."""
    epsilon: float
    """The constant of the RMS norms."""
    angles: Array
    """The angles of the rotation of positions, as of ``read_angles``."""
    windows: tuple[int | None, ...]
    """The number of tokens that each layer attends to, itself among them; None: all."""
    tied: bool
    """True if the table of tokens is the matrix of the head."""
    query_bias: bool
    """True if the products of queries, keys and values have a bias."""
    output_bias: bool
    """True if the product after the attention has one."""
    inner_bias: bool
    """True if the products of the inner layer have one."""
    head_norms: bool
    """True if queries and keys have a norm within each head."""

    @property
    def queries(self) -> int:
        """The number of values of all queries of a token."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """The number of values of all keys of a token."""
        return self.key_value_heads * self.head_size


@dataclass(frozen=True)
class Architecture:
    """A class of models of transformers."""

    name: str
    """The name in ``architectures`` of ``config.json``."""
    read: Callable[[Config], DecoderShape]
    """The function that reads the settings. It raises Unfit, and leaves those unread that it does not know."""


def read_shape(
    config: Config,
    *,
    query_bias: bool = False,
    output_bias: bool = False,
    inner_bias: bool = False,
    head_norms: bool = False,
    windows: tuple[int | None, ...] = (),
    defaults: Mapping[str, int] | None = None,
) -> DecoderShape:
    """Returns the shape by the settings that these architectures share. Raises Unfit.

    ``windows`` is empty if every layer attends to all tokens. ``defaults`` are those of transformers for settings that
    may be left out: key-value heads, head size and positions.
    """
    usual = defaults or {}
    config.only("hidden_act", "silu", "swish")
    layers, hidden, heads = (config.whole(key) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    if layers > _MAX_LAYERS:
        raise config.unfit("num_hidden_layers", f"want at most {_MAX_LAYERS}")
    groups = config.whole("num_key_value_heads", usual.get("num_key_value_heads", heads))
    if heads % groups:
        raise config.unfit("num_key_value_heads", f"want a divisor of num_attention_heads, {heads}")
    head_size = config.whole("head_dim", usual.get("head_dim", max(1, hidden // heads)))
    if head_size % HEAD_STEP:
        message = f"a head has {head_size} values, and ONNX Runtime rotates multiples of {HEAD_STEP}"
        raise config.unfit("head_dim", message)
    positions = config.whole("max_position_embeddings", usual.get("max_position_embeddings", 2048))
    if positions > _MAX_POSITIONS:
        raise config.unfit("max_position_embeddings", f"want at most {_MAX_POSITIONS}")
    return DecoderShape(
        layers=layers,
        hidden=hidden,
        inner=config.whole("intermediate_size"),
        heads=heads,
        key_value_heads=groups,
        head_size=head_size,
        vocabulary=config.whole("vocab_size"),
        positions=positions,
        epsilon=config.number("rms_norm_eps", 1e-6),
        angles=read_angles(config, head_size),
        windows=windows or (None,) * layers,
        tied=config.flag("tie_word_embeddings", default=False),
        query_bias=query_bias,
        output_bias=output_bias,
        inner_bias=inner_bias,
        head_norms=head_norms,
    )


def windows_of_some_layers(config: Config) -> tuple[int | None, ...]:
    """Returns the window of each layer, where ``use_sliding_window`` gives one to the later layers, or to those that
    ``layer_types`` names. Raises Unfit."""
    layers = config.whole("num_hidden_layers")
    size, used = config.optional_whole("sliding_window", absent=4096), config.flag("use_sliding_window", default=False)
    first = config.whole("max_window_layers", 28, least=0) if used else layers
    config.ignore("max_window_layers")
    kinds = config.texts("layer_types")
    if kinds is None:
        kinds = [_FULL if layer < first else _SLIDING for layer in range(layers)]
    if len(kinds) != layers or set(kinds) - {_FULL, _SLIDING}:
        raise config.unfit("layer_types", f"want {_FULL} or {_SLIDING} for each of {layers} layers")
    return tuple(size if used and kind == _SLIDING else None for kind in kinds)


_FULL: Final = "full_attention"
_SLIDING: Final = "sliding_attention"
