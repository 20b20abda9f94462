"""Paddings of some axes only."""

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import drop_unread, fresh, taken_names
from edge_compressor.models.normal_form.products import ranks
from edge_compressor.models.normal_form.refusal import counted


def pad_all_axes(model: onnx.ModelProto) -> list[str]:
    """Completes the paddings of a Pad that names axes.

    onnxruntime reads them as those of all axes when it moves a Pad between quantized convolutions.
    """
    graph, taken = model.graph, taken_names(model)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    known = ranks(model)
    changed = 0
    for node in graph.node:
        if node.op_type != "Pad" or node.domain or len(node.input) < 4 or node.input[0] not in known:
            continue
        rank = known[node.input[0]]
        if node.input[1] not in stored or node.input[3] not in stored:
            continue
        given = np.asarray(onnx.numpy_helper.to_array(stored[node.input[1]])).reshape(2, -1)
        axes = [int(axis) for axis in onnx.numpy_helper.to_array(stored[node.input[3]]).ravel()]
        pads = np.zeros((2, rank), np.int64)
        pads[:, axes] = given
        whole = onnx.numpy_helper.from_array(pads.ravel(), fresh(f"{node.name}_pads", taken))
        graph.initializer.append(whole)
        node.input[1] = whole.name
        del node.input[3]
        if not node.input[2]:
            del node.input[2]
        changed += 1
    if not changed:
        return []
    drop_unread(model)
    return [f"{counted(changed, 'padding')} of some axes became paddings of all"]
