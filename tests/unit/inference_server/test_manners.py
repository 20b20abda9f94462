"""The requests that clients send beyond the protocol, and the answers: those to a valid request, or an error with the
remedy."""

import codecs
import gzip
import json
import math
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.backend import CPU, LoadFailure
from edge_runtime.backends.onnxruntime import BACKEND
from edge_runtime.datatypes import DATATYPES
from edge_runtime.tuning import Tuning
from edgemodel.artifact import Tensor
from inference_server.errors import InvalidRequest
from inference_server.models.replay import Ring
from inference_server.protocol import infer
from inference_server.protocol.infer import Inference, Outputs, RequestSignature, Wanted
from inference_server.scheduling import batching
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.clients import Input, Reply, Request
from tests.unit.inference_server.processes import RunningServer, serving_process
from tests.unit.inference_server.test_listeners import LINE_SERVER, WAYS, Way

ROWS = artifacts.samples(2)
INFER = "/v2/models/tiny/infer"
MLP = {"name": "x", "datatype": "FP32", "shape": [2, artifacts.FEATURES], "data": ROWS.ravel().tolist()}


def asked(outer: Mapping[str, Any] | None = None, **changes: Any) -> bytes:
    """Returns an infer request with other members: ``outer`` of the request, ``changes`` of its input."""
    return json.dumps({"inputs": [{**MLP, **changes}], **(outer or {})}).encode()


@dataclass(frozen=True)
class Sent:
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = INFER


TAKEN = {
    "null in place of every optional member": Sent(
        asked({"id": None, "parameters": None, "outputs": None}, parameters=None)
    ),
    "empty optional members": Sent(asked({"parameters": {}, "outputs": []}, parameters={})),
    "parameters that are null": Sent(
        asked({"parameters": {"binary_data_output": None, "timeout": None}}, parameters={"binary_data_size": None})
    ),
    "an output with null parameters": Sent(asked({"outputs": [{"name": "scores", "parameters": None}]})),
    "an output whose classification is off": Sent(
        asked({"outputs": [{"name": "scores", "parameters": {"classification": 0}}]})
    ),
    "members and parameters of other servers": Sent(
        asked({"model_name": "tiny", "parameters": {"priority": 1}}, content_type="np", parameters={"a": 1})
    ),
    "data nested as its shape": Sent(asked(data=ROWS.tolist())),
    "a byte order mark": Sent(codecs.BOM_UTF8 + asked()),
    "blanks around": Sent(b" \r\n\t" + asked() + b"\n"),
    "a content type with a charset": Sent(asked(), {"Content-Type": "application/json; charset=UTF-8"}),
    "gzip": Sent(gzip.compress(asked()), {"Content-Encoding": "gzip"}),
    "gzip in capitals": Sent(gzip.compress(asked()), {"Content-Encoding": "GZIP"}),
    "an identity coding": Sent(asked(), {"Content-Encoding": "identity"}),
    "an accept that is another": Sent(asked(), {"Accept": "text/html"}),
    "a slash at the end": Sent(asked(), path=INFER + "/"),
    "two slashes at the beginning": Sent(asked(), path="/" + INFER),
    "two slashes within": Sent(asked(), path=INFER.replace("/v2/", "/v2//")),
    "a query": Sent(asked(), path=INFER + "?timeout=1"),
    "an escape that is not needed": Sent(asked(), path=INFER.replace("tiny", "t%69ny")),
}
REFUSED = {
    "a text for a number": (Sent(asked(data=["1.0"] * ROWS.size)), "data is not FP32"),
    "a NaN that is no word of JSON": (Sent(asked(data=["nan"] * ROWS.size)), "data is not FP32"),
    "data and nothing": (Sent(asked(data=None)), "input 'x' has neither data nor the parameter binary_data_size"),
    "shared memory": (
        Sent(asked(parameters={"shared_memory_region": "r"})),
        "shared memory is not supported, send the data in the request",
    ),
    "classes": (
        Sent(asked({"outputs": [{"name": "scores", "parameters": {"classification": 2}}]})),
        "classification is not supported, ask for the output itself",
    ),
    "a shape of floats": (Sent(asked(shape=[2.5, 16])), "Expected `int`, got `float`"),
    "no shape": (Sent(json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "data": [1]}]}).encode()), "`shape`"),
}


@pytest.mark.parametrize("sent", TAKEN.values(), ids=TAKEN)
def test_equivalent_requests_get_the_same_answer(mlp_server: RunningServer, sent: Sent) -> None:
    answer = mlp_server.request("POST", sent.path, sent.body, sent.headers)
    assert answer.status == 200, answer
    (scores,) = artifacts.plain_run(artifacts.mlp(), {"x": ROWS})
    assert np.float32(answer.json()["outputs"][0]["data"]).tobytes() == scores.tobytes()


@pytest.mark.parametrize(("sent", "cure"), REFUSED.values(), ids=REFUSED)
def test_ambiguous_requests_are_refused_with_the_remedy(mlp_server: RunningServer, sent: Sent, cure: str) -> None:
    answer = mlp_server.request("POST", sent.path, sent.body, sent.headers)
    assert (answer.status, cure in answer.error) == (400, True), answer


@pytest.mark.parametrize(
    "head",
    [b"Expect: 100-continue\r\nContent-Length: %d\r\n", b"content-length:%d\r\nCONNECTION: close\r\n"],
    ids=["Expect", "a head without blanks"],
)
def test_heads_of_other_clients_are_read(mlp_server: RunningServer, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", mlp_server.port), timeout=10) as connection:
        lines = b"POST %s HTTP/1.1\r\nHost: a\r\n" % INFER.encode() + head % len(asked())
        connection.sendall(lines + b"\r\n" + asked())
        answer = connection.makefile("rb").readline()
    assert answer.split()[1] in (b"100", b"200")


@pytest.mark.parametrize("path", ["/v2", "/v2/", "//v2/health/ready", "/v2//health/live/", "/v2/models/tiny/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_superfluous_slashes_are_ignored(mlp_server: RunningServer, method: str, path: str) -> None:
    assert mlp_server.request(method, path).status == 200


# --- values that JSON has no number for ---


def read(datatype: str, text: bytes, shape: str = "[4]") -> Any:
    """Returns the array of ``text`` as the data of an input."""
    declared = Tensor("x", datatype, (-1,) * (shape.count(",") + 1))
    signature = RequestSignature({"x": declared}, {"y": Tensor("y", datatype, (-1,))})
    body = b'{"inputs":[{"name":"x","datatype":"%s","shape":%s,"data":%s}]}' % (datatype.encode(), shape.encode(), text)
    return infer.decode(body, None, signature).feeds["x"]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (b"[null, 1.5, -2, null]", "[4]"),
        (b"[NaN, 1.5, -2, NaN]", "[4]"),
        (b'["NaN", 1.5, -2, "NaN"]', "[4]"),
        (b"[[null, 1.5], [-2, NaN]]", "[2, 2]"),
    ],
)
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_a_missing_value_is_nan_as_answers_have_it(datatype: str, text: bytes, shape: str) -> None:
    found = read(datatype, text, shape)
    assert found.dtype == DATATYPES[datatype].numpy
    assert np.array_equal(found.ravel(), [math.nan, 1.5, -2.0, math.nan], equal_nan=True)


def test_an_infinite_value_is_infinite() -> None:
    assert read("FP64", b"[Infinity, -Infinity, 1e300, 0]").tolist() == [math.inf, -math.inf, 1e300, 0.0]


def test_words_within_strings_stay_as_they_are() -> None:
    words = ["NaN", 'a "NaN" \\', "-Infinity", "\u00e9"]
    head = b'\xef\xbb\xbf{"id":"Infinity","parameters":{"p":NaN},'
    signature = RequestSignature({"x": Tensor("x", "BYTES", (-1,))}, {"y": Tensor("y", "BYTES", (-1,))})
    body = head + b'"inputs":[{"name":"x","datatype":"BYTES","shape":[4],"data":%s}]}' % json.dumps(words).encode()
    inference = infer.decode(body, None, signature)
    assert inference.id == "Infinity"
    assert inference.feeds["x"].tolist() == words


@pytest.mark.parametrize(
    ("datatype", "text", "said"),
    [
        ("INT64", b"[1, null, 2, 3]", "only a float can be missing, as null"),
        ("INT64", b"[1, NaN, 2, 3]", "data is not INT64"),
        ("BOOL", b"[true, null, true, true]", "only a float can be missing, as null"),
        ("FP32", b"[NaN, 1e39, 0, 0]", "data is out of the range of FP32"),
        ("FP32", b"[nan, 0, 0, 0]", "the request is not JSON"),
    ],
)
def test_values_outside_the_datatype_are_reported(datatype: str, text: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read(datatype, text)


# --- inputs with a value of their own ---

X = Input("x", "FP32", [2, 2], [1.0, 2.0, 3.0, 4.0])
GAIN = Input("gain", "FP32", [1], [10.0])


@pytest.fixture(scope="module")
def scaling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, RunningServer]]:
    """Yields servers of ``artifacts.scaled`` with all listeners, by whether HTTP has its fast path."""
    directory = artifacts.write(tmp_path_factory.mktemp("scaled"), artifacts.scaled())
    flags = ("--max-batch-items", "8", "--shadow-replay-max-requests", "8")
    serving = partial(serving_process, directory, "--grpc-port", "0", "--line-port", "0", *flags, module=LINE_SERVER)
    with serving() as fast, serving_process(directory, "--disable-fast-path", *flags) as slow:
        yield {True: fast, False: slow}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("inputs", "factor"), [([X], 2.0), ([X, GAIN], 10.0), ([GAIN, X], 10.0)])
def test_an_input_with_a_value_of_its_own_may_be_given(
    scaling: dict[bool, RunningServer], way: Way, inputs: list[Input], factor: float
) -> None:
    answer = way.client.ask(scaling[way.fast_path], Request(inputs))
    y = np.float32(X.data) * np.float32(factor)
    assert answer == Reply("OK", "", "tiny", "tiny-0123456789", None, {"y": ("FP32", [2, 2], y.tobytes())})


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_unknown_input_is_reported_with_the_known_ones(scaling: dict[bool, RunningServer], way: Way) -> None:
    answer = way.client.ask(scaling[way.fast_path], Request([X, Input("gian", "FP32", [1], [10.0])]))
    assert "input 'gian' is unknown, the model has 'x', 'gain'" in answer.message


def test_metadata_has_it_as_optional_and_nothing_is_batched_or_replayed_with_it(
    scaling: dict[bool, RunningServer],
) -> None:
    inputs = scaling[True].get("/v2/models/tiny").json()["inputs"]
    assert [tensor["name"] for tensor in inputs] == ["x", "gain"]
    configured = scaling[True].get("/v2/models/tiny/config").json()["input"]
    assert [tensor.get("optional", False) for tensor in configured] == [False, True]
    arrays = {"x": np.float32([[1]]), "gain": np.float32([3])}
    given = Inference(None, arrays, Outputs([Wanted(Tensor("y", "FP32", (-1, 1)), False)]), None, overrides=True)
    assert batching.groups([given, given], 8) == [[0], [1]]
    ring = Ring(8)
    ring.note(given, [np.float32([[3]])])
    assert ring.records() == []


def test_a_model_of_maps_is_refused_with_the_export_to_make(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(artifacts.zip_map())
    with pytest.raises(LoadFailure) as caught:
        BACKEND.load(tmp_path / "model.onnx", Tuning(), CPU)
    assert "'p' is a seq(map(int64,tensor(float)))" in caught.value.message
    assert "options={'zipmap': False}" in caught.value.message
