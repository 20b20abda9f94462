"""The shapes that a model declares, for its inputs, its outputs, and tensors between nodes."""

import onnx
import onnx.shape_inference

from edge_compressor.models.normal_form.refusal import OutOfOrder, counted


def declare_shapes(model: onnx.ModelProto) -> list[str]:
    """Declares the missing shapes of outputs that can be inferred.

    Raises OutOfOrder for inputs without a shape, and for outputs whose number of dimensions cannot be inferred.
    """
    graph = model.graph
    for given in graph.input:
        if _lacks_shape(given):
            message = f"input {given.name!r} has no shape, and requests are checked against it"
            raise OutOfOrder(f"{message}: export the model with one, whose open dimensions may have names")
    missing = [output for output in graph.output if _lacks_shape(output)]
    if not missing:
        return []
    inferred = {output.name: output for output in onnx.shape_inference.infer_shapes(model).graph.output}
    for output in missing:
        found = inferred[output.name].type.tensor_type
        if not found.HasField("shape"):
            message = f"output {output.name!r} has no shape, and its number of dimensions cannot be inferred"
            raise OutOfOrder(f"{message}: export the model with the shapes of its outputs")
        output.type.tensor_type.CopyFrom(found)
    names = ", ".join(output.name for output in missing)
    return [f"{counted(len(missing), 'output')} had no shape, which was inferred: {names}"]


def drop_wrong_shapes(model: onnx.ModelProto) -> list[str]:
    """Drops declared shapes of tensors between nodes that differ from the inferred ones; every reader infers them
    again.

    Runtimes only warn about them, but quantizers rely on them. Shapes that cannot be inferred stay.
    """
    graph = model.graph
    if not graph.value_info:
        return []
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    inferred = {value.name: value for value in onnx.shape_inference.infer_shapes(bare).graph.value_info}
    made = {output for node in graph.node for output in node.output}
    kept = [
        value
        for value in graph.value_info
        if value.name in made and not _contradict(value, inferred.get(value.name, value))
    ]
    if len(kept) == len(graph.value_info):
        return []
    dropped = len(graph.value_info) - len(kept)
    kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    return [f"{counted(dropped, 'declared shape')} of tensors between nodes were not what the graph gives"]


def _lacks_shape(value: onnx.ValueInfoProto) -> bool:
    return value.type.WhichOneof("value") in (None, "tensor_type") and not value.type.tensor_type.HasField("shape")


def _contradict(one: onnx.ValueInfoProto, other: onnx.ValueInfoProto) -> bool:
    first, second = one.type.tensor_type, other.type.tensor_type
    if first.elem_type != second.elem_type:
        return True
    if not (first.HasField("shape") and second.HasField("shape")):
        return False
    sizes = [[dim.dim_value for dim in kind.shape.dim] for kind in (first, second)]
    if len(sizes[0]) != len(sizes[1]):
        return True
    return any(a != b for a, b in zip(*sizes, strict=True) if a and b)
