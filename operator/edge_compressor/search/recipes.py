"""The recipes that Auto tries: a first round over methods and operator types, and gentler forms of those that lose too
much."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

import onnx

from edge_compressor.models.onnx_model import nodes

DYNAMIC, STATIC, WEIGHTS = "QuantizeDynamic", "QuantizeStatic", "StoreWeights"
BLOCKS: Final = "QuantizeWeights"
CONVOLUTIONS: Final = ("Conv", "ConvTranspose")
PRODUCTS: Final = ("MatMul", "Gemm")
RECURRENT: Final = ("LSTM", "Attention")

SENSITIVE_PRODUCTS: Final = ("qkv_proj", "v_proj", "down_proj")
"""The products of decoders that lose most with 4 bits, by parts of the names that exporters give them."""
MIN_BLOCK_VALUES: Final = 1 << 21
"""The number of values in products and tables from which weights alone are worth quantizing."""
_MAX_SHOWN: Final = 40
SENSITIVE_SHARES: Final = (0.125, 0.25, 0.5)
"""The shares of nodes that are excluded, the most sensitive first."""


@dataclass(frozen=True)
class Part:
    """A step type, or StoreWeights, with those of its settings that are not the default."""

    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        excluded = self.settings.get("excludeNodes", [])
        shown = [
            "+".join(value) if isinstance(value, list) else str(value)
            for key, value in self.settings.items()
            if key != "excludeNodes"
        ]
        if excluded:
            listed = " and ".join(excluded)
            count = f"{len(excluded)} node{'s' if len(excluded) > 1 else ''}"
            shown.append(f"without {listed if len(listed) <= _MAX_SHOWN else count}")
        return f"{self.type}({', '.join(shown)})" if shown else self.type

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        return {"type": self.type, "settings": dict(self.settings)}


@dataclass(frozen=True)
class SearchRecipe:
    """Steps that Auto tries together, in their order."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return " then ".join(map(str, self.parts)) or "as it is"

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the form in which the report stores it."""
        return [part.to_json() for part in self.parts]

    def with_(self, **settings: Any) -> "SearchRecipe":
        """Returns the recipe with ``settings`` added to those of its last part."""
        last = self.parts[-1]
        return SearchRecipe((*self.parts[:-1], Part(last.type, {**last.settings, **settings})))


def first_round(model: onnx.ModelProto, *, calibrated: bool) -> list[SearchRecipe]:
    """Returns each method on all operator types that it is made for, and on those alone that the methods differ on.

    ``calibrated`` says whether there are data for the static method. The safest recipes come first.
    """
    present = {node.op_type for node in nodes(model.graph)}
    convolutions, products, recurrent = (
        [kind for kind in kinds if kind in present] for kinds in (CONVOLUTIONS, PRODUCTS, RECURRENT)
    )
    recipes = [*map(stored, ("FP16", "INT8")), _recipe(DYNAMIC)]
    for kinds in (products, recurrent):
        if kinds:
            recipes.append(_recipe(DYNAMIC, opTypes=kinds))
    if _block_values(model) >= MIN_BLOCK_VALUES:
        recipes += [_recipe(BLOCKS), _recipe(BLOCKS, bits=4)]
    if calibrated:
        recipes.append(_recipe(STATIC))
        for kinds in (convolutions + products, convolutions, products):
            if kinds and _recipe(STATIC, opTypes=kinds) not in recipes:
                recipes.append(_recipe(STATIC, opTypes=kinds))
    return recipes


def for_decoder(model: onnx.ModelProto) -> list[SearchRecipe]:
    """Returns the recipes for a decoder, from the safest to the smallest: 8 bits, 4 bits with the products that lose
    most in 8, 4 bits with a head of 8, and 4 bits throughout."""
    names = [node.name for node in model.graph.node]
    wide = [part for part in SENSITIVE_PRODUCTS if any(part in name for name in names)]
    mixed = [_recipe(BLOCKS, bits=4, wideNodes=wide)] if wide else []
    return [_recipe(BLOCKS), *mixed, _recipe(BLOCKS, bits=4), _recipe(BLOCKS, bits=4, headBits=4)]


def stored(datatype: str) -> SearchRecipe:
    """Returns the recipe that stores weights as FP16 or INT8 and computes with FP32."""
    return _recipe(WEIGHTS, datatype=datatype)


def quantizes(recipe: SearchRecipe) -> bool:
    """Returns whether a recipe has a step that quantizes."""
    return any(part.type in (DYNAMIC, STATIC) for part in recipe.parts)


def quantized_nodes(model: onnx.ModelProto, recipe: SearchRecipe, defaults: Iterable[str]) -> list[onnx.NodeProto]:
    """Returns the nodes that the last part of ``recipe`` quantizes, in the order of the graph.

    ``defaults`` are its operator types unless it names others.
    """
    kinds = set(recipe.parts[-1].settings.get("opTypes") or defaults)
    return [node for node in model.graph.node if node.op_type in kinds]


def ends(nodes: Iterable[onnx.NodeProto]) -> list[str]:
    """Returns the first and the last layer, which often lose most; none if there are no others."""
    layers = [node.name for node in nodes if node.op_type in (*CONVOLUTIONS, *PRODUCTS, *RECURRENT)]
    return [layers[0], layers[-1]] if len(layers) > 2 else []


def most_sensitive(ranked: Sequence[str]) -> Iterable[list[str]]:
    """Returns growing parts of ``ranked``, with the SENSITIVE_SHARES; never all of it."""
    sizes = sorted({ceil(len(ranked) * share) for share in SENSITIVE_SHARES})
    return [sorted(ranked[:size]) for size in sizes if size < len(ranked)]


def _block_values(model: onnx.ModelProto) -> int:
    """Returns the number of values in the matrices of products and tables."""
    stored = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer if len(tensor.dims) == 2}
    read = {name for node in model.graph.node if node.op_type in (*PRODUCTS, "Gather") for name in node.input}
    return sum(stored.get(name, 0) for name in read)


def _recipe(kind: str, **settings: Any) -> SearchRecipe:
    return SearchRecipe((Part(kind, settings),))
