from collections.abc import Iterator

import pytest
from onnx import TensorProto

from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer, serving_process

ALL_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@pytest.fixture(scope="session", params=["fast path", "without fast path"])
def mlp_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yields a server of ``artifacts.mlp``; it is shared, so a test must not change or end it."""
    directory = artifacts.write_mlp(tmp_path_factory.mktemp("mlp"))
    way = ["--disable-fast-path"] if request.param == "without fast path" else []
    with serving_process(directory, "--max-body-bytes", "1000000", *way) as server:
        assert server.log[0]["fast_path"] is (not way)
        yield server


@pytest.fixture(scope="session")
def types_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yields a server with an input ``<DATATYPE>`` and an output ``<DATATYPE>.out`` of each numpy type; it is
    shared."""
    directory = artifacts.write(tmp_path_factory.mktemp("types"), artifacts.identities(ALL_TYPES))
    with serving_process(directory) as server:
        yield server
