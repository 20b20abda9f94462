"""The check whether a candidate would be slow on another processor, from the graph as onnxruntime runs it.

All slow cases so far showed one of two signs: ConvInteger, for which few processors have a fast kernel, and
convolutions that stayed float among quantized neighbours, with a conversion in each direction.
"""

from pathlib import Path
from typing import Final

from edge_compressor.models import normal_form
from edge_compressor.models.onnx_model import nodes

MIN_SHARE: Final = 0.8
"""The smallest share of fused quantized convolutions among all, if any is quantized."""

_FLOAT: Final = frozenset({"Conv", "FusedConv", "NhwcFusedConv"})


def why_slow(optimized: Path) -> str | None:
    """Returns why the candidate would be slow; None without a sign of it. ``optimized`` is onnxruntime's graph of the
    candidate."""
    graph = normal_form.load(optimized).graph
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
