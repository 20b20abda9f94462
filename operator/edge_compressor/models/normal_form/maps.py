"""Maps of scores, which scikit-learn's exporter makes of a classifier's scores (ZipMap), become tensors again."""

import onnx

from edge_compressor.models.normal_form.refusal import OutOfOrder

_MAX_CLASSES_SHOWN = 12


def cut_off_maps(model: onnx.ModelProto) -> list[str]:
    """Makes each output of a ZipMap the tensor that the ZipMap reads, since requests and answers carry tensors only.

    Raises OutOfOrder for other inputs and outputs that are not tensors.
    """
    changes = []
    makers = {output: node for node in model.graph.node for output in node.output}
    for output in model.graph.output:
        node = makers.get(output.name)
        if node is None or node.op_type != "ZipMap":
            continue
        classes = _classes(node)
        _make_identity(node)
        output.ClearField("type")
        output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        shape = output.type.tensor_type.shape
        shape.dim.add().dim_param = "batch"
        shape.dim.add().dim_value = len(classes)
        shown = ", ".join(classes[:_MAX_CLASSES_SHOWN]) + (", …" if len(classes) > _MAX_CLASSES_SHOWN else "")
        changes.append(
            f"output {output.name!r} was a map for each sample (ZipMap), and is a tensor with a column for each of "
            f"the classes {shown}"
        )
    for role, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            kind = value.type.WhichOneof("value") or "tensor_type"
            if kind != "tensor_type":
                message = f"{role} {value.name!r} is a {_KINDS.get(kind, kind)}, and requests and answers carry tensors"
                raise OutOfOrder(f"{message}: export the model with tensors only (skl2onnx: option zipmap=False)")
    return changes


_KINDS = {
    "sequence_type": "sequence",
    "map_type": "map",
    "optional_type": "optional value",
    "sparse_tensor_type": "sparse tensor",
}


def _classes(node: onnx.NodeProto) -> list[str]:
    """Returns the classes of a ZipMap, in the order of its columns."""
    found: list[str] = []
    for attribute in node.attribute:
        found += [text.decode(errors="replace") for text in attribute.strings] + [str(one) for one in attribute.ints]
    return found


def _make_identity(node: onnx.NodeProto) -> None:
    node.op_type, node.domain = "Identity", ""
    del node.attribute[:]
