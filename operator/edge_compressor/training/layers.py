"""Turns the function calls that ``torch.export`` leaves of layers back into modules with the same parameters."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

aten: Final = torch.ops.aten
PREFIX: Final = "layer_"
"""The prefix of the names of layers, which would otherwise equal those of the modules that hold their parameters."""


def with_layers(program: GraphModule) -> GraphModule:
    """Returns the program with its convolutions, products, norms, embeddings and dropouts as modules; its output is a
    tuple of tensors.

    If a weight is not one of the program's parameters, or an option has no module, the call stays as it is. ``program``
    must not be used afterwards.
    """
    graph = program.graph
    graph.set_codegen(CodeGen())  # plain arguments and results; what ``torch.export`` wraps them in refuses ``train()``
    taken: set[str] = set()
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is aten.add_.Tensor and _counts_batches(node):
            graph.erase_node(node)
            continue
        make = _MAKERS.get(node.target)
        made = make(program, node) if make is not None else None
        if made is None:
            continue
        layer, source = made
        name = _name_of(node, taken)
        taken.add(name)
        program.add_submodule(name, layer)
        with graph.inserting_before(node):
            call = graph.call_module(name, (source,))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    program.delete_all_unused_submodules()
    return GraphModule(program, graph)


def _counts_batches(node: Node) -> bool:
    """Returns whether the node counts batches, which a BatchNorm module does itself."""
    counted = node.args[0]
    return isinstance(counted, Node) and str(counted.target).endswith("num_batches_tracked")


def _name_of(node: Node, taken: set[str]) -> str:
    """Returns the name of the original module, from that of the weight; that of the node if there is no weight."""
    for argument in node.args:
        if isinstance(argument, Node) and argument.op == "get_attr":
            path = str(argument.target).rpartition(".")[0].replace(".", "_")
            name = f"{PREFIX}{path.removeprefix(PREFIX)}"  # the same result when a program is read again
            if path and name not in taken:
                return name
    return f"{PREFIX}{node.name}"


def _tensor(program: GraphModule, argument: Any) -> Tensor | None:
    """Returns a parameter or buffer of the program; None for other arguments."""
    if not isinstance(argument, Node) or argument.op != "get_attr":
        return None
    value: Any = program
    for part in str(argument.target).split("."):
        value = getattr(value, part, None)
    return value if isinstance(value, Tensor) else None


def _parameter(program: GraphModule, argument: Any) -> nn.Parameter | None:
    value = _tensor(program, argument)
    if value is None:
        return None
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone())


def _arguments(node: Node, *defaults: Any) -> list[Any]:
    """Returns the arguments of the call, with the function's defaults for those that are left out."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    return [given.get(name, default) for name, default in zip(names, defaults, strict=False)]


Made = tuple[nn.Module, Node] | None


def _convolution(kind: Callable[..., nn.Module], dimensions: int) -> Callable[[GraphModule, Node], Made]:
    def make(program: GraphModule, node: Node) -> Made:
        source, weight, bias, stride, padding, dilation, groups = _arguments(node, None, None, None, 1, 0, 1, 1)
        values, shift = _parameter(program, weight), _parameter(program, bias)
        if values is None or (bias is not None and shift is None):
            return None
        layer: Any = kind(
            values.shape[1] * groups, values.shape[0], tuple(values.shape[2:]), stride=_many(stride, dimensions),
            padding=padding if isinstance(padding, str) else _many(padding, dimensions),
            dilation=_many(dilation, dimensions), groups=groups, bias=shift is not None,
        )  # fmt: skip
        layer.weight, layer.bias = values, shift
        return layer, source

    return make


def _many(value: Any, dimensions: int) -> Any:
    if isinstance(value, Sequence) and len(value) == 1:
        return tuple(value) * dimensions
    return tuple(value) if isinstance(value, Sequence) else value


def _linear(program: GraphModule, node: Node) -> Made:
    source, weight, bias = _arguments(node, None, None, None)
    values, shift = _parameter(program, weight), _parameter(program, bias)
    if values is None or (bias is not None and shift is None):
        return None
    layer = nn.Linear(values.shape[1], values.shape[0], bias=shift is not None)
    layer.weight, layer.bias = values, shift  # type: ignore[assignment]
    return layer, source


def _batch_norm(program: GraphModule, node: Node) -> Made:
    source, weight, bias, mean, variance, _, momentum, eps, _ = _arguments(
        node, None, None, None, None, None, False, 0.1, 1e-5, False
    )
    means, variances = _tensor(program, mean), _tensor(program, variance)
    if means is None or variances is None:
        return None
    scale, shift = _parameter(program, weight), _parameter(program, bias)
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    kind = kinds.get(source.meta["val"].dim())
    if kind is None:
        return None
    layer = kind(len(means), eps=eps, momentum=momentum, affine=scale is not None)
    if scale is not None and shift is not None:
        layer.weight, layer.bias = scale, shift
    layer.running_mean, layer.running_var = means.detach().clone(), variances.detach().clone()
    return layer, source


def _layer_norm(program: GraphModule, node: Node) -> Made:
    source, shape, weight, bias, eps = _arguments(node, None, None, None, None, 1e-5)
    scale, shift = _parameter(program, weight), _parameter(program, bias)
    if any(isinstance(size, Node) for size in shape) or scale is None or shift is None:
        return None
    layer = nn.LayerNorm(list(shape), eps=eps)
    layer.weight, layer.bias = scale, shift
    return layer, source


def _embedding(program: GraphModule, node: Node) -> Made:
    weight, source, padding = _arguments(node, None, None, -1)
    values = _parameter(program, weight)
    if values is None or not isinstance(source, Node):
        return None
    layer = nn.Embedding(values.shape[0], values.shape[1], padding_idx=padding if padding >= 0 else None)
    layer.weight = values
    return layer, source


def _dropout(program: GraphModule, node: Node) -> Made:
    source, share, _ = _arguments(node, None, 0.5, False)
    return nn.Dropout(share), source


_MAKERS: Final[dict[Any, Callable[[GraphModule, Node], Made]]] = {
    aten.conv1d.default: _convolution(nn.Conv1d, 1),
    aten.conv2d.default: _convolution(nn.Conv2d, 2),
    aten.conv2d.padding: _convolution(nn.Conv2d, 2),
    aten.conv1d.padding: _convolution(nn.Conv1d, 1),
    aten.conv3d.default: _convolution(nn.Conv3d, 3),
    aten.linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten.layer_norm.default: _layer_norm,
    aten.embedding.default: _embedding,
    aten.dropout.default: _dropout,
    aten.dropout_.default: _dropout,
}
