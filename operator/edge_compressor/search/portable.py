"""Would it be slow on another processor, whatever the timer here says? Told by the graph as onnxruntime runs it.

Two signs were there in every slow case met: ConvInteger, for which few processors have a fast kernel, and convolutions
that were to be quantized but stayed float among quantized neighbours, with a conversion to and fro at each.
"""

from pathlib import Path
from typing import Final

from edge_compressor.models import normalization
from edge_compressor.models.onnx_model import nodes

MIN_SHARE: Final = 0.8
"""The share of convolutions that must be fused quantized ones, where any is quantized."""

_FLOAT: Final = frozenset({"Conv", "FusedConv", "NhwcFusedConv"})


def why_slow(optimized: Path) -> str | None:
    """None: no sign of it. ``optimized`` is what onnxruntime made of the candidate."""
    graph = normalization.load(optimized).graph
    every = list(nodes(graph))
    integer = sum(node.op_type == "ConvInteger" for node in every)
    if integer:
        return f"{integer} ConvInteger: convolutions that quantize their input at each run are slow"
    restored = {output for node in every if node.op_type == "DequantizeLinear" for output in node.output}
    fused = sum(node.op_type == "QLinearConv" for node in every)
    floats = [node for node in every if node.op_type in _FLOAT]
    total = fused + len(floats)
    if (fused or any(node.input[0] in restored for node in floats)) and fused < MIN_SHARE * total:
        return f"{fused} of {total} convolutions run quantized, at least {MIN_SHARE:.0%} should"
    return None
