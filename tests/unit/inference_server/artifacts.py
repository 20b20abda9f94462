"""Small artifacts in the compressor's layout: model.onnx, manifest.json, golden.npz."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from edgemodel.artifact import ArtifactFile, ArtifactManifest, Golden, digest_of_model
from edgemodel.digest import digest_of
from inference_server.models.artifact_files import manifest_of
from tests.support.text_models import write_text_model

MODEL = "tiny"
FEATURES, CLASSES = 16, 4


def upside_down_mlp() -> bytes:
    """Returns ``mlp`` with every score negated: another class for every item."""
    return mlp(-1)


def mlp(sign: int = 1) -> bytes:
    """Returns a model from FP32 ``x`` [N, 16] to FP32 ``scores`` [N, 4]."""
    random = np.random.default_rng(7)
    weights = {
        "w1": random.standard_normal((FEATURES, 32), np.float32),
        "b1": random.standard_normal(32, np.float32),
        "w2": sign * random.standard_normal((32, CLASSES), np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["xw"]),
        helper.make_node("Add", ["xw", "b1"], ["xwb"]),
        helper.make_node("Relu", ["xwb"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["scores"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])],
        weights,
    )


def identities(types: Mapping[str, int], shape: Sequence[int | str] = ("N", "M")) -> bytes:
    """Returns a model with an output ``<name>.out`` for each input, equal to it."""
    return _model(
        [helper.make_node("Identity", [name], [f"{name}.out"]) for name in types],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind in types.items()],
        [helper.make_tensor_value_info(f"{name}.out", kind, shape) for name, kind in types.items()],
    )


def lookup() -> bytes:
    """Returns a model from INT64 ``index`` [N] into a table of 3: any other index fails in the runtime, after all
    validation."""
    return _model(
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        [helper.make_tensor_value_info("index", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N"])],
        {"table": np.array([10, 20, 30], np.float32)},
    )


def sum_of_two() -> bytes:
    """Returns a model from FP32 ``a`` and ``b`` [N, S] to FP32 ``sum`` [N, S]."""
    return _model(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "S"]) for name in "ab"],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", "S"])],
    )


def scaled() -> bytes:
    """Returns a model of ``y = gain * x``, whose input ``gain`` has the value 2 unless a request gives another."""
    return _model(
        [helper.make_node("Mul", ["x", "gain"], ["y"])],
        [_open_rows("x"), helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1])],
        [_open_rows("y")],
        {"gain": np.float32([2.0])},
    )


def zip_map() -> bytes:
    """Returns a classifier whose probabilities are maps, as skl2onnx exports it."""
    probabilities = onnx.ValueInfoProto(name="p")
    entry = probabilities.type.sequence_type.elem_type.map_type
    entry.key_type, entry.value_type.tensor_type.elem_type = TensorProto.INT64, TensorProto.FLOAT
    node = helper.make_node("ZipMap", ["x"], ["p"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    graph = helper.make_graph([node], "test", [_open_rows("x")], [probabilities])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def _open_rows(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2])


def slow(steps: int = 60) -> bytes:
    """Returns a model of FP32 ``x`` [N, 64] with ``steps`` products of 512 x 512: some milliseconds per row on any
    machine."""
    weights = {"wide": np.eye(64, 512, dtype=np.float32), "w": np.eye(512, dtype=np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "wide"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{step}", "w"], [f"h{step + 1}"]) for step in range(steps)]
    nodes += [helper.make_node("ReduceSum", [f"h{steps}"], ["y"], keepdims=0)]
    return _model(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        weights,
    )


def rows(steps: int = 60) -> bytes:
    """Returns ``slow`` with FP32 ``y`` [N], the sum of each row, so that it takes batches."""
    weights = {
        "wide": np.eye(64, 512, dtype=np.float32),
        "w": np.eye(512, dtype=np.float32),
        "axes": np.array([1], np.int64),
    }
    nodes = [helper.make_node("MatMul", ["x", "wide"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{step}", "w"], [f"h{step + 1}"]) for step in range(steps)]
    nodes += [helper.make_node("ReduceSum", [f"h{steps}", "axes"], ["y"], keepdims=0)]
    return _model(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        weights,
    )


def infer_body(feeds: Mapping[str, Any]) -> bytes:
    """Returns an infer request of FP32 arrays by input, as JSON."""
    inputs = [
        {"name": name, "shape": list(array.shape), "datatype": "FP32", "data": array.ravel().tolist()}
        for name, array in feeds.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Mapping[str, Any] | None = None) -> bytes:
    initializers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def samples(items: int, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((items, FEATURES), np.float32)


def plain_run(model: bytes, feeds: Mapping[str, Any]) -> list[Any]:
    """Returns the answers of onnxruntime itself."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return list(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, dict(feeds)))


def write(
    directory: Path,
    model: bytes,
    *,
    golden: Golden | None = None,
    arrays: Mapping[str, Any] | None = None,
    artifact_digest: str | None = None,
    weights: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes an artifact, with files of ``weights`` beside the graph."""
    directory.mkdir(parents=True, exist_ok=True)
    contents = {"model.onnx": model, **weights} if weights else {}
    files = {name: ArtifactFile(digest_of(content), len(content)) for name, content in contents.items()}
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    manifest = ArtifactManifest(
        model=MODEL,
        fingerprint="0123456789",
        variant="default",
        source_digest="sha256:" + "5" * 64,
        artifact_digest=artifact_digest or (digest_of_model(files) if files else digest_of(model)),
        inputs=(),
        outputs=(),
        golden=golden,
        files=files,
    )
    (directory / "model.onnx").write_bytes(model)
    (directory / "manifest.json").write_bytes(manifest.encode())
    if arrays is not None:
        np.savez(directory / "golden.npz", **arrays)
    return directory


def write_mlp(directory: Path, *, items: int = 16, wrong: int = 0, min_percent: str = "99.5") -> Path:
    """Writes the MLP with a golden set of which ``wrong`` items were recorded with another class."""
    model, inputs = mlp(), samples(items)
    (scores,) = plain_run(model, {"x": inputs})
    scores[:wrong] = -scores[:wrong]
    golden = Golden(items=items, agreement="Argmax", tolerance=0.0, min_percent=min_percent)
    return write(directory, model, golden=golden, arrays={"input.x": inputs, "output.scores": scores})


def write_text_artifact(directory: Path, said: str, **options: Any) -> Path:
    """Writes a model that generates ``said``, as ``write_text_model`` does, with a manifest."""
    return with_manifest(write_text_model(directory, said, **options))


def with_manifest(folder: Path) -> Path:
    """Writes the manifest of the model that lies in ``folder`` now, and returns ``folder``."""
    (folder / "manifest.json").write_bytes(manifest_of(folder).encode())
    return folder
