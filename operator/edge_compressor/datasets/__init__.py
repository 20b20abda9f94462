"""Data sets: an ``.npz`` with one array for each input of the model and, if it is known, ``label``.

The first axis is that of the samples. If the inputs of a model share no batch dimension (a state, a scalar), each
sample is a complete input as the model declares it: an array has the shape [samples, *shape of the input]. For a
stateful model each sample is a sequence: arrays have an axis of steps after that of the samples, except for the initial
state, which may be left out if it is zero (``evaluation/stateful.py``). Each task defines its labels, and the arrays
that it reads besides them (``evaluation``). ``class_names`` is a list of texts, for the report. The arrays are unpacked
to files one after the other and mapped into memory, so that a data set need not fit into it. Nothing is ever unpickled.
"""

from edge_compressor.datasets.class_labels import (
    LABEL,
    PROBABLE,
    VALUES_HINT,
    as_whole_numbers,
    check_class_labels,
    check_classes,
    holds_whole_numbers,
    predicted_classes,
)
from edge_compressor.datasets.dataset import BATCH_SIZE, PADDING, Dataset, describe, shared_samples
from edge_compressor.datasets.npz import CLASS_NAMES, check_npz, load_dataset
from edge_compressor.datasets.texts import read_json_lines

__all__ = [
    "BATCH_SIZE",
    "CLASS_NAMES",
    "LABEL",
    "PADDING",
    "PROBABLE",
    "VALUES_HINT",
    "Dataset",
    "as_whole_numbers",
    "check_class_labels",
    "check_classes",
    "check_npz",
    "describe",
    "holds_whole_numbers",
    "load_dataset",
    "predicted_classes",
    "read_json_lines",
    "shared_samples",
]
