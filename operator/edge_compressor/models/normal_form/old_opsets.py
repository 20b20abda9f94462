"""Operator sets that are older than any kernel of onnxruntime."""

from typing import Final

import onnx
import onnx.version_converter

from edge_compressor.models.graph import opset
from edge_compressor.models.normal_form.refusal import OutOfOrder
from edgemodel.error_words import in_words

OLDEST: Final = 7
"""The oldest operator set that onnxruntime has kernels for."""
TARGET: Final = 13
"""The operator set that older ones become, which all quantizers accept."""


def convert_old_opset(model: onnx.ModelProto) -> list[str]:
    """Converts an operator set below OLDEST to TARGET. Raises OutOfOrder if onnx cannot convert it."""
    version = opset(model)
    if version >= OLDEST or not any(not node.domain for node in model.graph.node):
        return []
    try:
        converted = onnx.version_converter.convert_version(model, TARGET)
    except Exception as error:  # the converter raises anything for operators that it cannot convert
        message = f"operator set {version} is older than what nodes run ({OLDEST}), and onnx cannot convert it"
        cause = in_words(error, 200)
        raise OutOfOrder(f"{message} ({cause}): export the model with operator set {TARGET} or later") from error
    model.CopyFrom(converted)
    return [f"operator set {version} is older than what nodes run, and was converted to {TARGET}"]
