"""Damaged or malicious model files: refused with the reason, and nothing outside their folder is read."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgemodel import reasons, serving
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer

pytestmark = pytest.mark.slow

FLOAT = TensorProto.FLOAT


def model(
    *nodes: Any,
    initializers: Any = (),
    inputs: Any = None,
    outputs: Any = None,
    domains: Any = (),
    folder: Path | None = None,
) -> bytes:
    """Returns a model from ``x`` to ``y`` by ``nodes``, without checks, like that of an attacker."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Identity", ["x"], ["y"])],
        "hostile",
        inputs or [helper.make_tensor_value_info("x", FLOAT, ["N", 4])],
        outputs or [helper.make_tensor_value_info("y", FLOAT, None)],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def external(location: str, *, size: int = 4, offset: int = 0) -> bytes:
    """Adds a tensor of ``size`` floats from ``location``."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[size], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(size * 4))):
        tensor.external_data.add(key=key, value=value)
    return model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=[tensor])


def declared(*dims: int) -> bytes:
    """Adds a tensor with a huge declared size, and 16 bytes."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=dims, raw_data=bytes(16))
    return model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=[tensor])


def filled(*dims: int) -> bytes:
    """Returns a model with a constant of many elements, which a runtime may compute when it loads the model."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [len(dims)], dims)
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["w"]), helper.make_node("Add", ["x", "w"], ["y"])]
    return model(*nodes, initializers=[shape])


def nested(levels: int) -> bytes:
    """Returns If within If within If, encoded by hand, because protobuf itself would not write so many."""
    graph = b""
    for _ in range(levels):
        branch = _field(1, b"then_branch") + _field(6, graph)  # AttributeProto: name, g
        node = (
            _field(1, b"c") + _field(2, b"z") + _field(4, b"If") + _field(5, branch)
        )  # input, output, op_type, attribute
        graph = _field(1, node)  # GraphProto: node
    return b"\x08\x0a" + _field(7, graph)  # ModelProto: ir_version, graph


def _field(number: int, data: bytes) -> bytes:
    """Returns a length-delimited field."""
    size, length = len(data), bytearray()
    while size > 127:
        length.append(size % 128 + 128)
        size //= 128
    return bytes([number * 8 + 2, *length, size]) + data


def archive() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("model.onnx", artifacts.mlp())
        return file.getvalue()


class Command:
    """A command that unpickling would run."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("/tmp/unpickled"),)


CASES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"this is no model\n" * 50,
    "a pickle": lambda: pickle.dumps(Command()),
    "a zip archive": archive,
    "cut short": lambda: artifacts.mlp()[:-100],
    "bytes changed in the middle": lambda: artifacts.mlp().replace(b"MatMul", b"MatMuk"),
    "an operator that does not exist": lambda: model(helper.make_node("Launder", ["x"], ["y"])),
    "an operator of another domain": lambda: model(
        helper.make_node("Run", ["x"], ["y"], domain="evil.example"), domains=["evil.example"]
    ),
    "a circle": lambda: model(helper.make_node("Add", ["x", "y"], ["z"]), helper.make_node("Identity", ["z"], ["y"])),
    "an input that nobody gives": lambda: model(helper.make_node("Add", ["x", "ghost"], ["y"])),
    "an output that nobody makes": lambda: model(helper.make_node("Identity", ["x"], ["z"])),
    "a tensor larger than its data": lambda: declared(10**6),
    "a tensor larger than all memory": lambda: declared(2**40),
    "a tensor whose size overflows": lambda: declared(2**33, 2**33),
    "a negative tensor": lambda: declared(-1),
    "a constant larger than all memory": lambda: filled(2**31, 2**20),
    "external data above its folder": lambda: external("../secret"),
    "external data at an absolute path": lambda: external("/etc/passwd"),
    "external data through a link": lambda: external("link"),
    "external data that is not there": lambda: external("missing"),
    "external data beyond the end of its file": lambda: external("inside", size=10**6),
    "external data from a negative place": lambda: external("inside", offset=-8),
    "graphs in graphs without end": lambda: nested(5000),
    "a sequence for an output": lambda: model(
        helper.make_node("SequenceConstruct", ["x"], ["y"]),
        outputs=[helper.make_tensor_sequence_value_info("y", FLOAT, None)],
    ),
}

NOT_OF_THE_SET = {
    "external data above its folder",
    "external data at an absolute path",
    "external data through a link",
    "external data that is not there",
}
"""The cases whose graph names a file that the manifest does not."""


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.full(4, 42, np.float32).tobytes())
    model = CASES[case]()
    weights = {"inside": bytes(16)} if b"inside" in model else None
    directory = artifacts.write(tmp_path / "artifact", model, weights=weights)
    (directory / "link").symlink_to(tmp_path / "secret")
    termination = tmp_path / "termination"
    termination.touch()
    server = RunningServer(directory, "--termination-log", str(termination))
    try:
        assert server.wait_end() == serving.EXIT_MODEL, f"{case}: {server.log}"
    finally:
        server.kill()
    told = serving.parse_ending(termination.read_text())
    assert told is not None
    assert told[0] == (reasons.DIGEST_MISMATCH if case in NOT_OF_THE_SET else reasons.MODEL_LOAD_FAILED)
    assert "model.onnx" in told[1]
    assert not Path("/tmp/unpickled").exists()


def test_external_data_in_its_own_folder_is_read(tmp_path: Path) -> None:
    """The cases above are therefore refused for their location."""
    directory = artifacts.write(tmp_path, external("inside"), weights={"inside": np.full(4, 42, np.float32).tobytes()})
    server = RunningServer(directory)
    try:
        server.wait_ready()
        answer = server.infer(artifacts.infer_body({"x": np.zeros((1, 4), np.float32)}))
        assert answer.json()["outputs"][0]["data"] == [42.0] * 4
    finally:
        server.kill()
