"""The rotations of positions: the angle by which each pair of a head turns from one token to the next.

The types are those of transformers (``modeling_rope_utils.py``): plain ones, ``linear`` (S. Chen et al., *Extending
Context Window of Large Language Models via Positional Interpolation*, 2023), and ``llama3`` of Llama 3.1.
"""

from typing import Final

import numpy as np

from edge_compressor.decoders.config import Config
from edge_runtime.datatypes import Array

_THETA: Final = 10000.0
_PLAIN: Final = "default"


def read_angles(config: Config, head_size: int) -> Array:
    """Returns the angles in radians for each token, float32 (head_size / 2,). Raises Unfit."""
    config.only("partial_rotary_factor", 1.0, 1)
    theta = config.number("rope_theta", _THETA)
    scaling, newer = config.group("rope_scaling"), config.group("rope_parameters")
    if scaling is not None and newer is not None:
        raise config.unfit("rope_parameters", "rope_scaling is there too: keep one of them")
    scaling = scaling or newer
    if scaling is None:
        return _angles(theta, head_size).astype(np.float32)
    kind = scaling.text("rope_type") or scaling.text("type") or _PLAIN
    scaling.ignore("type")
    scaling.only("partial_rotary_factor", 1.0, 1)
    angles = _angles(scaling.number("rope_theta", theta), head_size)
    if kind == "linear":
        angles = angles / scaling.number("factor")
    elif kind == "llama3":
        angles = _of_llama3(angles, scaling)
    elif kind != _PLAIN:
        raise scaling.unfit("rope_type", f"the graph that is written knows {_PLAIN}, linear and llama3")
    scaling.refuse_unread()
    return np.asarray(angles, np.float32)


def rotations(angles: Array, positions: int) -> tuple[Array, Array]:
    """Returns the cosines and sines of ``positions`` positions, float32 (positions, head size / 2)."""
    turned = np.arange(positions, dtype=np.float32)[:, None] * angles  # in float32, as the model was trained
    return np.cos(turned), np.sin(turned)


def _angles(theta: float, head_size: int) -> Array:
    return np.asarray(1.0 / theta ** (np.arange(0, head_size, 2) / head_size))


def _of_llama3(angles: Array, scaling: Config) -> Array:
    """Returns the angles: slow ones are divided by a factor, fast ones are kept, and those between are mixed."""
    factor, low, high = (scaling.number(key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    if high <= low:
        raise scaling.unfit("high_freq_factor", f"want more than low_freq_factor, {low:g}")
    turns = scaling.whole("original_max_position_embeddings") * angles / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(angles / factor * (1 - kept) + angles * kept)
