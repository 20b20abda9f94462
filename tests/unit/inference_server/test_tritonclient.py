"""The client tritonclient by NVIDIA, called as its users do."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer


@pytest.fixture
def client(mlp_server: RunningServer) -> Iterator[Any]:
    with InferenceServerClient(f"127.0.0.1:{mlp_server.port}") as client:
        yield client


def mlp_input(binary: bool, items: int = 3) -> Any:
    given = InferInput("x", [items, 16], "FP32")
    given.set_data_from_numpy(artifacts.samples(items), binary_data=binary)
    return given


def test_health_and_metadata_are_understood(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "tiny-0123456789")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "edgemodel"
    assert client.get_model_metadata("tiny")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}]


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("outputs", [None, True, False], ids=["no outputs", "binary output", "json output"])
def test_answers_are_those_of_onnxruntime_in_every_form(client: Any, binary_input: bool, outputs: bool | None) -> None:
    wanted = None if outputs is None else [InferRequestedOutput("scores", binary_data=outputs)]
    result = client.infer("tiny", [mlp_input(binary_input)], outputs=wanted, request_id="r-1")
    (expected,) = artifacts.plain_run(artifacts.mlp(), {"x": artifacts.samples(3)})
    assert result.as_numpy("scores").tobytes() == expected.tobytes()
    assert result.get_response()["id"] == "r-1"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_requests_and_replies_work(client: Any, coding: str) -> None:
    result = client.infer(
        "tiny",
        [mlp_input(True, 200)],
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    (expected,) = artifacts.plain_run(artifacts.mlp(), {"x": artifacts.samples(200)})
    assert result.as_numpy("scores").tobytes() == expected.tobytes()


def test_an_error_reaches_the_user_with_its_message(client: Any) -> None:
    given = InferInput("x", [1, 15], "FP32")
    given.set_data_from_numpy(np.zeros((1, 15), np.float32))
    with pytest.raises(InferenceServerException, match=r"input 'x': shape \[1, 15\], want \[-1, 16\]"):
        client.infer("tiny", [given])


@pytest.mark.parametrize("binary", [True, False])
def test_every_type_of_numpy_goes_there_and_back(types_server: RunningServer, binary: bool) -> None:
    arrays: dict[str, Any] = {"BYTES": np.array([["a", "größe", ""]], object), "BOOL": np.array([[True, False]])}
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
        array = np.array([[0, 1, 100]], kind)
        arrays[np_to_triton_dtype(array.dtype)] = array
    arrays["FP16"] = np.array([[0.5]], np.float16)  # has no JSON form
    inputs = []
    for name, array in arrays.items():
        given = InferInput(name, list(array.shape), name)
        given.set_data_from_numpy(array, binary_data=binary or name == "FP16")
        inputs.append(given)
    outputs = [InferRequestedOutput(f"{name}.out", binary_data=binary or name == "FP16") for name in arrays]
    with InferenceServerClient(f"127.0.0.1:{types_server.port}") as client:
        result = client.infer("tiny", inputs, outputs=outputs)
    for name, array in arrays.items():
        got = result.as_numpy(f"{name}.out")
        if name == "BYTES":
            got = np.array([[text.decode() if isinstance(text, bytes) else text for text in got[0]]], object)
        assert got.tolist() == array.tolist(), name


@pytest.mark.parametrize("binary", [True, False])
async def test_the_asyncio_client_works(mlp_server: RunningServer, binary: bool) -> None:
    async with aio.InferenceServerClient(f"127.0.0.1:{mlp_server.port}") as client:
        assert await client.is_server_ready()
        assert (await client.get_model_config("tiny"))["name"] == "tiny"
        assert [model["state"] for model in await client.get_model_repository_index()] == ["READY"]
        results = await asyncio.gather(
            *(client.infer("tiny", [mlp_input(binary)], request_id=f"r-{number}") for number in range(16))
        )
    (expected,) = artifacts.plain_run(artifacts.mlp(), {"x": artifacts.samples(3)})
    for number, result in enumerate(results):
        assert result.as_numpy("scores").tobytes() == expected.tobytes()
        assert result.get_response()["id"] == f"r-{number}"
