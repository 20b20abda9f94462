"""Writes a decoder: the graph, and its weights in a file beside it, one after the other.

The graph is that of onnxruntime-genai's builder: attention with grouped queries and rotated positions
(GroupQueryAttention), which keeps past and present in one buffer, and RMS norms that take the residual along.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.decoders.architecture import DecoderShape
from edge_compressor.decoders.architectures import ARCHITECTURES
from edge_compressor.decoders.config import Config, Unfit
from edge_compressor.decoders.rotary import rotations
from edge_compressor.decoders.weights import HEAD, NORM, TABLE, Weights
from edge_compressor.models.decoder_rows import choose_rows
from edge_compressor.models.language_files import CONFIG_FILE, check_tokenizer, read_json
from edge_compressor.models.weight_files import PAGE_BYTES
from edge_runtime.datatypes import Array
from edge_runtime.decoder import ATTENTION_MASK, INPUT_IDS, LOGITS
from edgemodel.names import MODEL_FILE, TOKENIZER_FILE

DATA_FILE: Final = f"{MODEL_FILE}.data"
OPSET: Final = 21
_MICROSOFT: Final = "com.microsoft"
_IR_VERSION: Final = 10
_MIN_OUTSIDE_BYTES: Final = 1024
_BATCH, _TOKENS, _PAST, _TOTAL = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"


def check_decoder(folder: Path, *, what: str, reason: str) -> None:
    """Checks that a decoder can be made of the folder, by its settings and the headers of its weights.

    Raises Unfit, or Stalled with ``reason``, naming ``what`` it is.
    """
    _opened(folder, what, reason)


def write_decoder(folder: Path, to: Path, *, what: str, reason: str) -> Path:
    """Writes the decoder in ``folder`` to ``to``, and returns the path of the graph. Raises as ``check_decoder``."""
    shape, weights = _opened(folder, what, reason)
    with (to / DATA_FILE).open("wb") as data:
        model = _Graph(shape, weights, data).model()
    choose_rows(model)
    onnx.save(model, to / MODEL_FILE)
    return to / MODEL_FILE


def _opened(folder: Path, what: str, reason: str) -> tuple[DecoderShape, Weights]:
    settings = read_json(folder / CONFIG_FILE, what, reason)
    if settings is None:
        raise Unfit(f"{CONFIG_FILE} is missing: give the whole folder of the model")
    shape = _shape(settings)
    if not (folder / TOKENIZER_FILE).is_file():
        message = f"{TOKENIZER_FILE} is missing: save the tokenizer as transformers does (a fast one), and add the file"
        raise Unfit(message)
    check_tokenizer(folder, what=what, reason=reason)
    return shape, Weights(folder, shape, what=what, reason=reason)


def _shape(settings: dict[str, Any]) -> DecoderShape:
    """Returns the shape by the settings of ``config.json``. Raises Unfit."""
    config = Config(settings)
    if settings.get("auto_map"):
        raise config.unfit("auto_map", "code that comes with a model is never run: export the model to ONNX")
    if settings.get("quantization_config"):
        raise config.unfit("quantization_config", "give the model as it was before it was quantized")
    names = config.texts("architectures") or []
    if len(names) != 1 or names[0] not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise config.unfit("architectures", f"want one of {known}; export others to ONNX, and give that folder")
    config.ignore("auto_map", "quantization_config")
    shape = ARCHITECTURES[names[0]].read(config)
    config.refuse_unread()
    return shape


class _Graph:
    """A graph under construction, whose nodes are named as the builder names them."""

    def __init__(self, shape: DecoderShape, weights: Weights, data: BinaryIO) -> None:
        self._shape, self._weights, self._data = shape, weights, data
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        """Returns the model, whose large weights are in the file by then."""
        shape = self._shape
        self._rows("model.embed_tokens.weight", TABLE, (shape.vocabulary, shape.hidden))
        cosines, sines = rotations(shape.angles, shape.positions)
        for name, values in (("cos_cache", cosines), ("sin_cache", sines)):
            self._store(name, values.shape, [values])
        self._lengths()
        state = self._node("Gather", "/model/embed_tokens/Gather", [TABLE, INPUT_IDS])
        added = ""
        for number in range(shape.layers):
            state, added = self._layer(number, state, added)
        normal, _ = self._norm("/model/norm", "model.norm.weight", NORM, state, added)
        self._head(normal)
        graph = helper.make_graph(self._nodes, "decoder", self._inputs(), self._outputs(), self._tensors)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_MICROSOFT, 1)]
        return helper.make_model(graph, producer_name="edgemodel", opset_imports=opsets, ir_version=_IR_VERSION)

    def _lengths(self) -> None:
        """Adds the nodes for the number of tokens of each text, and of the longest."""
        path = "/model/attn_mask_reformat/attn_mask_subgraph"
        one = self._constant("/model/constants/INT64/1", np.array(1, np.int64))
        axis = self._constant("/model/constants/INT64/[1]", np.array([1], np.int64))
        known = self._node("ReduceSum", f"{path}/ReduceSum", [ATTENTION_MASK, axis], keepdims=0)
        before = self._node("Sub", f"{path}/Sub", [known, axis])
        self._before = self._node("Cast", f"{path}/Sub/Cast", [before], to=TensorProto.INT32)
        sizes = self._node("Shape", f"{path}/Shape", [ATTENTION_MASK])
        total = self._node("Gather", f"{path}/Gather", [sizes, one], axis=0)
        self._total = self._node("Cast", f"{path}/Gather/Cast", [total], to=TensorProto.INT32)

    def _layer(self, number: int, state: str, added: str) -> tuple[str, str]:
        """Adds a layer behind ``state`` and ``added``, and returns the two tensors whose sum it passes on."""
        shape, path, own = self._shape, f"/model/layers.{number}", f"model.layers.{number}"
        name = f"{own}.input_layernorm.weight"
        normal, state = self._norm(f"{path}/input_layernorm", name, name, state, added)
        attended = self._attention(number, normal)
        mixed = self._product(
            f"{path}/attn/o_proj", f"{own}.attn.o_proj", [f"{own}.self_attn.o_proj"], attended, bias=shape.output_bias
        )
        name = f"{own}.post_attention_layernorm.weight"
        normal, state = self._norm(f"{path}/post_attention_layernorm", name, name, state, mixed)
        gate, up = (
            self._product(f"{path}/mlp/{one}", f"{own}.mlp.{one}", [f"{own}.mlp.{one}"], normal, bias=shape.inner_bias)
            for one in ("gate_proj", "up_proj")
        )
        opened = self._node("Sigmoid", f"{path}/mlp/act_fn/Sigmoid", [gate])
        opened = self._node("Mul", f"{path}/mlp/act_fn/Mul", [gate, opened])
        inner = self._node("Mul", f"{path}/mlp/Mul", [opened, up])
        down = self._product(
            f"{path}/mlp/down_proj", f"{own}.mlp.down_proj", [f"{own}.mlp.down_proj"], inner, bias=shape.inner_bias
        )
        return state, down

    def _attention(self, number: int, normal: str) -> str:
        shape, path, own = self._shape, f"/model/layers.{number}/attn", f"model.layers.{number}"
        sources = [f"{own}.self_attn.{one}_proj" for one in "qkv"]
        packed = self._product(f"{path}/qkv_proj", f"{own}.attn.qkv_proj", sources, normal, bias=shape.query_bias)
        given = [packed, "", ""]
        if shape.head_norms:
            given = self._normal_heads(number, packed)
        window = shape.windows[number]
        attended = f"{path}/GroupQueryAttention/output_0"
        self._nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                [
                    *given, f"past_key_values.{number}.key", f"past_key_values.{number}.value", self._before,
                    self._total, "cos_cache", "sin_cache",
                ],
                [attended, f"present.{number}.key", f"present.{number}.value"],
                name=f"{path}/GroupQueryAttention",
                domain=_MICROSOFT,
                num_heads=shape.heads,
                kv_num_heads=shape.key_value_heads,
                scale=shape.head_size**-0.5,
                local_window_size=-1 if window is None else window,
                do_rotary=1,
                rotary_interleaved=0,
            )
        )  # fmt: skip
        return attended

    def _normal_heads(self, number: int, packed: str) -> list[str]:
        """Splits queries, keys and values, norms the heads of the first two, and returns the three."""
        shape, path, own = self._shape, f"/model/layers.{number}/attn", f"model.layers.{number}"
        sizes = self._constant("/model/constants/sizes", np.array([shape.queries, shape.keys, shape.keys], np.int64))
        heads = self._constant("/model/constants/heads", np.array([0, 0, -1, shape.head_size], np.int64))
        whole = self._constant("/model/constants/whole", np.array([0, 0, -1], np.int64))
        parts = [f"{path}/qkv_proj/Split/output_{place}" for place in range(3)]
        self._nodes.append(helper.make_node("Split", [packed, sizes], parts, name=f"{path}/qkv_proj/Split", axis=-1))
        for place, one in enumerate("qk"):
            at, name = f"{path}/{one}_norm", f"{own}.attn.{one}_norm.layernorm.weight"
            split = self._node("Reshape", f"{at}/Reshape_1", [parts[place], heads])
            normal, _ = self._norm(at, name, f"{own}.self_attn.{one}_norm.weight", split, "")
            parts[place] = self._node("Reshape", f"{at}/Reshape_2", [normal, whole])
        return parts

    def _head(self, normal: str) -> None:
        shape = self._shape
        if shape.tied:
            matrix = self._node("Transpose", "/lm_head/Transpose", [TABLE], perm=[1, 0])
        else:
            matrix = "lm_head.MatMul.weight"
            self._store(matrix, (shape.hidden, shape.vocabulary), self._weights.columns(HEAD))
        self._nodes.append(helper.make_node("MatMul", [normal, matrix], [LOGITS], name="/lm_head/MatMul"))

    def _norm(self, path: str, name: str, source: str, state: str, added: str) -> tuple[str, str]:
        """Adds an RMS norm of ``state`` + ``added``, and returns its result and the sum; no sum if ``added`` is
        empty."""
        self._store(name, (len(values := self._weights.joined(source)),), [values])
        epsilon = self._shape.epsilon
        if not added:
            return self._node(
                "SimplifiedLayerNormalization",
                f"{path}/LayerNorm",
                [state, name],
                epsilon=epsilon,
                axis=-1,
                stash_type=1,
            ), state
        normal, total = f"{path}/output_0", f"{path}/output_3"
        self._nodes.append(
            helper.make_node(
                "SkipSimplifiedLayerNormalization",
                [state, added, name],
                [normal, "", "", total],
                name=f"{path}/SkipLayerNorm",
                domain=_MICROSOFT,
                epsilon=epsilon,
            )
        )
        return normal, total

    def _product(self, path: str, name: str, sources: list[str], given: str, *, bias: bool) -> str:
        """Adds the product of ``given`` with the matrices ``sources`` side by side, and their bias."""
        outputs = sum(self._weights.size(f"{one}.weight")[0] for one in sources)
        matrix = f"{name}.MatMul.weight"
        inputs = self._weights.size(f"{sources[0]}.weight")[1]
        self._store(matrix, (inputs, outputs), self._weights.columns(*(f"{one}.weight" for one in sources)))
        product = self._node("MatMul", f"{path}/MatMul", [given, matrix])
        if not bias:
            return product
        values = self._weights.joined(*(f"{one}.bias" for one in sources))
        self._store(f"{name}.Add.bias", values.shape, [values])
        return self._node("Add", f"{path}/Add", [product, f"{name}.Add.bias"])

    def _node(self, op_type: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Adds a node with one output, and returns its name."""
        self._nodes.append(helper.make_node(op_type, inputs, [f"{name}/output_0"], name=name, **attributes))
        return f"{name}/output_0"

    def _constant(self, name: str, values: Array) -> str:
        if all(tensor.name != name for tensor in self._tensors):
            self._tensors.append(numpy_helper.from_array(values, name))
        return name

    def _rows(self, name: str, source: str, dims: tuple[int, ...]) -> None:
        self._store(name, dims, self._weights.rows(source))

    def _store(self, name: str, dims: Iterable[int], parts: Iterable[Array]) -> None:
        """Adds a float32 tensor, whose ``parts`` follow each other; large ones go into the file."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims)
        self._tensors.append(tensor)
        if 4 * int(np.prod(tensor.dims)) < _MIN_OUTSIDE_BYTES:
            tensor.raw_data = b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in parts)
            return
        self._data.seek(-(-self._data.tell() // PAGE_BYTES) * PAGE_BYTES)
        begin = self._data.tell()
        for part in parts:
            self._data.write(np.ascontiguousarray(part, "<f4").data)
        said = {"location": DATA_FILE, "offset": begin, "length": self._data.tell() - begin}
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in said.items():
            tensor.external_data.add(key=key, value=str(value))

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        whole = TensorProto.INT64
        return [
            helper.make_tensor_value_info(INPUT_IDS, whole, [_BATCH, _TOKENS]),
            helper.make_tensor_value_info(ATTENTION_MASK, whole, [_BATCH, _TOTAL]),
            *self._caches("past_key_values", _PAST),
        ]

    def _outputs(self) -> list[onnx.ValueInfoProto]:
        logits = [_BATCH, _TOKENS, self._shape.vocabulary]
        return [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, logits), *self._caches("present", _TOTAL)]

    def _caches(self, name: str, tokens: str) -> list[onnx.ValueInfoProto]:
        shape = [_BATCH, self._shape.key_value_heads, tokens, self._shape.head_size]
        return [
            helper.make_tensor_value_info(f"{name}.{number}.{part}", TensorProto.FLOAT, shape)
            for number in range(self._shape.layers)
            for part in ("key", "value")
        ]
