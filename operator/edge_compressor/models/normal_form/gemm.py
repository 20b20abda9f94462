"""The operands of Gemm in the form that quantizers accept: a bias with one value per column, and no transposed
input."""

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import drop_unread, fresh, set_nodes, taken_names
from edge_compressor.models.normal_form.refusal import counted


def order_operands(model: onnx.ModelProto) -> list[str]:
    """Spreads stored biases of Gemm over the columns, and adds others, with a value per row, after it.

    A Transpose replaces ``transA``.
    """
    graph, taken = model.graph, taken_names(model)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept, changed = [], 0
    for node in graph.node:
        if node.op_type != "Gemm" or node.domain or node.input[1] not in stored:
            kept.append(node)
            continue
        attributes = {one.name: one for one in node.attribute}
        transposed = attributes.get("transA")
        if transposed is not None and transposed.i:
            name = fresh(f"{node.name}_transposed", taken)
            kept.append(onnx.helper.make_node("Transpose", [node.input[0]], [name], name=name, perm=[1, 0]))
            node.input[0], transposed.i = name, 0
            changed += 1
        kept.append(node)
        bias = stored.get(node.input[2]) if len(node.input) > 2 else None
        columns = stored[node.input[1]].dims[0 if "transB" in attributes and attributes["transB"].i else 1]
        if bias is None or list(bias.dims) == [columns]:
            continue
        changed += 1
        values = np.asarray(onnx.numpy_helper.to_array(bias))
        if values.size in (1, columns) and values.size == (values.shape[-1] if values.ndim else 1):
            flat = np.ascontiguousarray(np.broadcast_to(values.ravel(), (columns,)))
            stored_flat = onnx.numpy_helper.from_array(flat, fresh(f"{bias.name}_flat", taken))
            graph.initializer.append(stored_flat)
            node.input[2] = stored_flat.name
            continue
        if "beta" in attributes and attributes["beta"].f != 1.0:
            continue
        output, node.output[0] = node.output[0], fresh(f"{node.output[0]}_product", taken)
        del node.input[2]
        name = fresh(f"{node.name}_bias", taken)
        kept.append(onnx.helper.make_node("Add", [node.output[0], bias.name], [output], name=name))
    if not changed:
        return []
    set_nodes(graph, kept)
    drop_unread(model)
    return [
        f"{counted(changed, 'operand')} of Gemm became what quantizers take: one bias a column, no transposed input"
    ]
