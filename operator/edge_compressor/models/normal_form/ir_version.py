"""The version of the file format (IR version)."""

from typing import Final

import onnx

FIRST_WITH_CONSTANTS: Final = 4
"""The first version in which a stored tensor need not also be declared as an input."""


def set_ir_version(model: onnx.ModelProto) -> list[str]:
    """Sets a version that the libraries read and that allows the results of the other passes.

    A version newer than the libraries is lowered: versions only add what a file may contain, and a file with such
    content is refused afterwards, by onnx's checker.
    """
    given = int(model.ir_version)
    wanted = min(max(given, FIRST_WITH_CONSTANTS), int(onnx.IR_VERSION))
    if given == wanted:
        return []
    model.ir_version = wanted
    return [f"the file's IR version was {given}, now {wanted}"]
