"""Data sets: an ``.npz`` with one array for each input of the model, and, where it is known, ``label``.

First axis: the samples. Where the inputs of a model share no batch dimension (a state, a scalar), each sample is an
input as the model declares it, whole: an array has the shape [samples, *the input's own]. Of a model with a state each
sample is a sequence: arrays have an axis of steps behind that of the samples, but for the state that sequences begin
with, which may be left out where that is zeros (``evaluation/stateful.py``). What a label has to look
like is for the task to say (``evaluation``); detection has ``boxes`` besides. ``class_names`` is a list of texts, for
the report. The arrays are unpacked to files one after the other and mapped into memory, so that a data set never has
to fit it. Nothing is ever unpickled.
"""

from edge_compressor.datasets.class_labels import (
    LABEL,
    PROBABLE,
    check_class_labels,
    check_classes,
    predicted_classes,
)
from edge_compressor.datasets.dataset import BATCH_SIZE, Dataset, describe, shared_samples
from edge_compressor.datasets.npz import BOXES, CLASS_NAMES, check_npz, load_dataset

__all__ = [
    "BATCH_SIZE",
    "BOXES",
    "CLASS_NAMES",
    "LABEL",
    "PROBABLE",
    "Dataset",
    "check_class_labels",
    "check_classes",
    "check_npz",
    "describe",
    "load_dataset",
    "predicted_classes",
    "shared_samples",
]
