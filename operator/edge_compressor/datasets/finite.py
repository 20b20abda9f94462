"""The check of data sets for NaN and infinity: one such value among thousands ruins the ranges of a quantizer, and
every score."""

import math
from typing import Final

import numpy as np

from edge_compressor.datasets.dataset import invalid
from edge_compressor.models import normal_form
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import nodes
from edge_runtime.datatypes import BFLOAT16, Array, as_numbers
from edgemodel.artifact import ONNX_RUNTIME

_MISSING_VALUES: Final = frozenset(
    {"Imputer", "IsInf", "IsNaN", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"}
)
"""The operators for which NaN is a missing value."""
EVALUATION_SET: Final = "evaluation set"
_VALUES_AT_ONCE: Final = 1 << 22


def check_finite(name: str, array: Array, what: str, *, model: ModelFile, datatype: str = "") -> str:
    """Returns a note for the report; empty where all values of ``array``, with samples on axis 0, are finite.

    Raises Stalled(DatasetInvalid) for a NaN or infinity, naming the first one. A ``model`` with operators for missing
    values accepts them, and so does an evaluation set, whose NaN are what an application would send: nothing is
    learned from it. ``datatype`` is that of the input; empty for labels.
    """
    if array.dtype.kind != "f" and datatype != BFLOAT16:
        return ""
    rows = max(1, _VALUES_AT_ONCE // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array), rows):
        block = as_numbers(datatype, array[start : start + rows])
        found = ~np.isfinite(block)
        if not found.any():
            continue
        if datatype and _takes_missing_values(model):
            return ""
        place = tuple(int(one) for one in np.argwhere(found)[0])
        value = "NaN" if np.isnan(block[place]) else "infinity"
        at = f"sample {start + place[0]}" + (f", at {list(place[1:])}" if len(place) > 1 else "")
        if datatype and what == EVALUATION_SET and np.isnan(block[place]):
            return f"array {name} holds NaN in {at}, and is evaluated as it is"
        cure = "leave the sample out, or replace the value by what the application would send"
        raise invalid(what, f"array {name} holds {value} in {at} (counted from 0): {cure}")
    return ""


def _takes_missing_values(model: ModelFile) -> bool:
    if model.runtime != ONNX_RUNTIME:
        return False
    return any(node.op_type in _MISSING_VALUES for node in nodes(normal_form.load_shapes(model.path).graph))
