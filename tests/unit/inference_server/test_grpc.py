"""The protocol over gRPC, by real clients: tritonclient, health checks, reflection, and a plain channel."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    aio,
    service_pb2,
    service_pb2_grpc,
)
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.unit.inference_server import artifacts
from tests.unit.inference_server.conftest import ALL_TYPES
from tests.unit.inference_server.processes import REPOSITORY, RunningServer, serving_process, until

pytestmark = pytest.mark.slow

SERVICE = "inference.GRPCInferenceService"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = artifacts.write_mlp(tmp_path_factory.mktemp("mlp"))
    with serving_process(directory, "--grpc-port", "0", "--max-body-bytes", "1000000") as server:
        yield server


def address(server: RunningServer) -> str:
    return f"127.0.0.1:{server.log[0]['grpc_port']}"


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with InferenceServerClient(address(server)) as client:
        yield client


@pytest.fixture
def stub(server: RunningServer) -> Iterator[Any]:
    with grpc.insecure_channel(address(server)) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def mlp_input(items: int = 3) -> Any:
    given = InferInput("x", [items, 16], "FP32")
    given.set_data_from_numpy(artifacts.samples(items))
    return given


def request(**fields: Any) -> Any:
    """Returns an infer request for three items, with ``fields`` in place of its own."""
    given = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[3, 16])
    own = {"model_name": "tiny", "inputs": [given], "raw_input_contents": [artifacts.samples(3).tobytes()]}
    return service_pb2.ModelInferRequest(**{**own, **fields})


def expected(items: int = 3) -> Any:
    (scores,) = artifacts.plain_run(artifacts.mlp(), {"x": artifacts.samples(items)})
    return scores


def test_health_and_metadata_are_understood(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "tiny-0123456789")
    assert client.get_server_metadata(as_json=True)["name"] == "edgemodel"
    metadata = client.get_model_metadata("tiny", as_json=True)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "16"]}]
    config = client.get_model_config("tiny", as_json=True)["config"]
    assert config["output"] == [{"name": "scores", "data_type": "TYPE_FP32", "dims": ["-1", "4"]}]
    assert [model.name for model in client.get_model_repository_index().models] == ["tiny"]


def test_answers_are_those_of_onnxruntime(client: Any) -> None:
    result = client.infer("tiny", [mlp_input()], outputs=[InferRequestedOutput("scores")], request_id="r-1")
    assert result.as_numpy("scores").tobytes() == expected().tobytes()
    assert result.get_response().id == "r-1"
    assert result.get_response().model_version == "tiny-0123456789"


async def test_the_asyncio_client_works(server: RunningServer) -> None:
    async with aio.InferenceServerClient(address(server)) as client:
        assert await client.is_server_ready()
        result = await client.infer("tiny", [mlp_input()])
        assert result.as_numpy("scores").tobytes() == expected().tobytes()


def test_typed_contents_are_answered_in_typed_contents(stub: Any) -> None:
    given = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[3, 16])
    given.contents.fp32_contents.extend(artifacts.samples(3).ravel().tolist())
    reply = stub.ModelInfer(service_pb2.ModelInferRequest(model_name="tiny", inputs=[given]))
    (output,) = reply.outputs
    assert np.float32(output.contents.fp32_contents).tobytes() == expected().tobytes()
    assert not reply.raw_output_contents


@pytest.fixture(scope="module")
def types_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = artifacts.write(tmp_path_factory.mktemp("types"), artifacts.identities(ALL_TYPES))
    with serving_process(directory, "--grpc-port", "0") as server:
        yield server


def of_all_types() -> dict[str, Any]:
    arrays: dict[str, Any] = {"BYTES": np.array([["a", "größe", ""]], object), "BOOL": np.array([[True, False]])}
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
        limits = np.iinfo(kind) if "int" in kind else np.finfo(kind)
        array = np.array([[limits.min, 1, limits.max]], kind)
        arrays[np_to_triton_dtype(array.dtype)] = array
    arrays["FP16"] = np.array([[0.5]], np.float16)
    return arrays


def test_every_type_goes_there_and_back_raw(types_server: RunningServer) -> None:
    inputs = []
    for name, array in of_all_types().items():
        given = InferInput(name, list(array.shape), name)
        given.set_data_from_numpy(array)
        inputs.append(given)
    with InferenceServerClient(address(types_server)) as client:
        result = client.infer("tiny", inputs)
    for name, array in of_all_types().items():
        got = result.as_numpy(f"{name}.out")
        if name == "BYTES":
            got = np.array([[text.decode() for text in got[0]]], object)
        assert got.tolist() == array.tolist(), name


def test_every_type_that_has_a_typed_field_goes_there_and_back_in_it(tmp_path: Path) -> None:
    fields = {
        "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
        "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
        "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
    }  # fmt: skip
    directory = artifacts.write(tmp_path, artifacts.identities({name: ALL_TYPES[name] for name in fields}))
    asked = service_pb2.ModelInferRequest(model_name="tiny")
    for name, field in fields.items():
        array = of_all_types()[name]
        given = asked.inputs.add(name=name, datatype=name, shape=array.shape)
        values = array.ravel().tolist()
        getattr(given.contents, field).extend([text.encode() for text in values] if name == "BYTES" else values)
    with serving_process(directory, "--grpc-port", "0") as server, grpc.insecure_channel(address(server)) as channel:
        reply = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(asked)
        for given, output in zip(asked.inputs, reply.outputs, strict=True):
            assert output.name == f"{given.name}.out"
            assert output.contents == given.contents

        asked.inputs[1].contents.uint_contents[0] = 256  # UINT8
        with pytest.raises(grpc.RpcError, match="uint_contents is out of the range of UINT8"):
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(asked)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"raw_input_contents": [b""] * 2}, "raw_input_contents has 2 elements for 1 inputs"),
        ({"raw_input_contents": [b"123"]}, "3 bytes of data, want 192"),
        ({"raw_input_contents": []}, "fp32_contents has 0 elements, want 48"),
    ],
)
def test_contents_that_do_not_fit_are_refused_with_the_reason(stub: Any, fields: Any, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request(**fields))
    assert caught.value.code().name == "INVALID_ARGUMENT"
    assert message in caught.value.details()
    assert stub.ModelInfer(request()).raw_output_contents[0] == expected().tobytes()


def test_an_error_reaches_the_user_of_tritonclient(client: Any) -> None:
    given = InferInput("x", [1, 15], "FP32")
    given.set_data_from_numpy(np.zeros((1, 15), np.float32))
    with pytest.raises(InferenceServerException, match=r"input 'x': shape \[1, 15\], want \[-1, 16\]"):
        client.infer("tiny", [given])


def test_a_message_that_is_too_large_is_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="larger than max"):
        client.infer("tiny", [mlp_input(20_000)])
    assert client.infer("tiny", [mlp_input()]).as_numpy("scores").tobytes() == expected().tobytes()


def test_a_stream_answers_each_request_in_order_and_goes_on_after_an_error(client: Any) -> None:
    answers: list[Any] = []
    done = threading.Event()

    def take(result: Any, error: Any) -> None:
        answers.append(error or result.get_response().id)
        if len(answers) == 3:
            done.set()

    client.start_stream(take)
    client.async_stream_infer("tiny", [mlp_input()], request_id="first")
    client.async_stream_infer("other", [mlp_input()], request_id="second")
    client.async_stream_infer("tiny", [mlp_input()], request_id="third")
    assert done.wait(30)
    client.stop_stream()
    assert (answers[0], answers[2]) == ("first", "third")
    assert "model 'other' is unknown" in str(answers[1])


def test_requests_of_both_protocols_count_alike(server: RunningServer, client: Any) -> None:
    def counted() -> int:
        (model,) = server.get("/v2/models/tiny/stats").json()["model_stats"]
        return int(model["inference_count"])

    before = counted()
    client.infer("tiny", [mlp_input()])
    server.infer(artifacts.infer_body({"x": artifacts.samples(1)}))
    assert counted() == before + 2
    (told,) = client.get_inference_statistics("tiny").model_stats
    assert told.inference_count == before + 2


def test_the_health_service_and_reflection_are_there(server: RunningServer) -> None:
    with grpc.insecure_channel(address(server)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == 1
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
        file = database.FindFileContainingSymbol(SERVICE)
        assert "ModelInferRequest" in [message.name for message in file.message_type]


def test_the_health_service_says_no_until_the_model_serves_and_when_it_ends(tmp_path: Path) -> None:
    with serving_process(artifacts.write_mlp(tmp_path), "--grpc-port", "0", "--model-control", "explicit") as server:
        with grpc.insecure_channel(address(server)) as channel:
            seen = []
            for reply in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE)):
                seen.append(reply.status)
                if len(seen) == 1:
                    server.terminate()
                else:
                    break
        assert seen == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
        assert server.wait_end() == 0


def test_a_call_in_work_is_answered_when_the_server_is_stopped(tmp_path: Path) -> None:
    with serving_process(artifacts.write(tmp_path, artifacts.rows()), "--grpc-port", "0") as server:
        given = InferInput("x", [512, 64], "FP32")
        given.set_data_from_numpy(np.ones((512, 64), np.float32))
        with InferenceServerClient(address(server)) as client, ThreadPoolExecutor(1) as pool:
            working = pool.submit(client.infer, "tiny", [given])
            until(lambda: server.counted("edgemodel_queue_duration_seconds_count") == 1, "the call is in work")
            server.terminate()
            assert working.result().as_numpy("y").tolist() == pytest.approx([64.0] * 512)
        assert server.wait_end() == 0


def test_a_deadline_is_kept(tmp_path: Path) -> None:
    with serving_process(
        artifacts.write(tmp_path, artifacts.rows(200)), "--grpc-port", "0", "--concurrency", "1"
    ) as server:
        given = InferInput("x", [512, 64], "FP32")
        given.set_data_from_numpy(np.ones((512, 64), np.float32))
        with (
            InferenceServerClient(address(server)) as client,
            pytest.raises(InferenceServerException, match="Deadline"),
        ):
            client.infer("tiny", [given], client_timeout=0.05)


def test_models_are_loaded_and_unloaded_where_that_is_allowed(tmp_path: Path, client: Any) -> None:
    with pytest.raises(InferenceServerException, match="--model-control explicit"):
        client.unload_model("tiny")
    directory = artifacts.write_mlp(tmp_path)
    with (
        serving_process(directory, "--grpc-port", "0", "--model-control", "explicit") as server,
        InferenceServerClient(address(server)) as ours,
    ):
        ours.unload_model("tiny")
        assert not ours.is_model_ready("tiny")
        with pytest.raises(InferenceServerException, match="was unloaded"):
            ours.infer("tiny", [mlp_input()])
        ours.load_model("tiny")
        assert ours.infer("tiny", [mlp_input()]).as_numpy("scores").tobytes() == expected().tobytes()


def test_without_the_extra_the_error_names_what_to_install(tmp_path: Path) -> None:
    flags = ["s", "--grpc-port", "0", "--port", "0", "--model-directory", str(artifacts.write_mlp(tmp_path))]
    program = f"import sys; sys.modules['grpc'] = None; sys.argv = {flags}"
    program += "; from inference_server.__main__ import main; sys.exit(main())"
    path = f"{REPOSITORY / 'operator'}:{REPOSITORY}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'edgemodel[grpc]'" in done.stderr


def test_the_messages_are_made_from_the_proto_file(tmp_path: Path) -> None:
    name = "inference_server/listeners/grpc/open_inference.proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{REPOSITORY}", f"--python_out={tmp_path}", name]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    made = (tmp_path / "inference_server/listeners/grpc/open_inference_pb2.py").read_text()
    assert made == (REPOSITORY / "inference_server/listeners/grpc/open_inference_pb2.py").read_text(), "run make proto"


def test_every_message_is_as_published(tmp_path: Path) -> None:
    """The names, numbers and types of all fields are compared with those of tritonclient."""
    published = service_pb2.DESCRIPTOR.pool
    ours = tmp_path / "ours.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{REPOSITORY}", f"--descriptor_set_out={ours}"]
    subprocess.run([*command, "inference_server/listeners/grpc/open_inference.proto"], cwd=REPOSITORY, check=True)
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    (file,) = FileDescriptorSet.FromString(ours.read_bytes()).file
    compared = 0

    def compare(message: Any, name: str) -> None:
        nonlocal compared
        theirs = published.FindMessageTypeByName(name)
        for field in message.field:
            other = theirs.fields_by_name[field.name]
            kind = other.message_type or other.enum_type
            wanted = (other.number, other.type, f".{kind.full_name}" if kind else "")
            assert (field.number, field.type, field.type_name) == wanted, f"{name}.{field.name}"
            compared += 1
        for nested in message.nested_type:
            compare(nested, f"{name}.{nested.name}")

    for message in file.message_type:
        compare(message, f"inference.{message.name}")
    (service,) = file.service
    for method in service.method:
        other = published.FindServiceByName(SERVICE).methods_by_name[method.name]
        assert (method.input_type, method.output_type) == (
            f".{other.input_type.full_name}",
            f".{other.output_type.full_name}",
        )
    assert compared > 100


def test_nobody_without_a_key_is_served(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret")
    directory = artifacts.write_mlp(tmp_path / "m")
    given = InferInput("x", [1, artifacts.FEATURES], "FP32")
    given.set_data_from_numpy(artifacts.samples(1))
    with (
        serving_process(directory, "--grpc-port", "0", "--api-key-file", str(keys)) as server,
        InferenceServerClient(address(server)) as client,
    ):
        assert client.is_server_live()
        for headers in (None, {"authorization": "Bearer other"}):
            for ask in (lambda shown: client.infer("tiny", [given], headers=shown), client.get_server_metadata):
                with pytest.raises(InferenceServerException) as raised:
                    ask(headers)
                assert raised.value.status() == "StatusCode.UNAUTHENTICATED"
        shown = {"authorization": "Bearer secret"}
        assert client.infer("tiny", [given], headers=shown).as_numpy("scores") is not None
        assert client.get_server_metadata(shown).name == "edgemodel"
