"""``type: CleanGraph``: folds constants, fuses operators, and removes unused nodes and the exporter's metadata.

The outputs do not change, except for rounding. Exporter metadata can be a fifth of a small model.
"""

from pathlib import Path

from edge_compressor.models import normal_form, weight_files
from edge_compressor.step_interface.step_type import StepContext, StepType, failed
from edgemodel.compression_request import ONNX
from edgemodel.setting_kinds import Settings


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if onnxslim cannot read the graph."""
    import onnxslim  # it imports sympy, more than half of the start of a Job, which other recipes need not pay for

    result = context.folder / "clean.onnx"
    try:
        slim = onnxslim.slim(normal_form.load(model))
    except SystemExit as error:  # its reaction when its own check fails
        raise failed(context.name, f"onnxslim gave up on this graph (exit {error.code}): leave the step out") from error
    del slim.metadata_props[:]
    del slim.graph.value_info[:]  # shapes between nodes, which every reader infers again
    for part in (slim.graph, *slim.graph.node):
        del part.metadata_props[:]
        part.doc_string = ""
    weight_files.save(slim, result)
    return result


STEP = StepType(
    "CleanGraph",
    "Folds constants, fuses operators and removes unused nodes; the outputs do not change.",
    {},
    {ONNX: apply},
)
