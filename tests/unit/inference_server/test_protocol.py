"""The requests that the protocol module accepts and refuses, without a server or a model."""

import contextlib
import json
import struct
from random import Random
from typing import Any

import numpy as np
import pytest

from edge_runtime.datatypes import DATATYPES
from edgemodel import metrics as contract
from edgemodel.artifact import Tensor
from inference_server.errors import InvalidRequest, UnfitRequest
from inference_server.protocol.infer import Inference, RequestSignature, decode, encode


def signature(*inputs: Tensor, outputs: tuple[Tensor, ...] = (Tensor("y", "FP32", (-1, 2)),)) -> RequestSignature:
    inputs = inputs or (Tensor("x", "FP32", (-1, 2)),)
    return RequestSignature({tensor.name: tensor for tensor in inputs}, {tensor.name: tensor for tensor in outputs})


def one_input(**changes: Any) -> dict[str, Any]:
    given = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}
    return {"inputs": [{key: value for key, value in given.items() if value is not None}]}


def decode_json(value: Any, wanted: RequestSignature | None = None) -> Inference:
    return decode(json.dumps(value).encode(), None, wanted or signature())


def decode_binary(value: Any, *blobs: bytes, wanted: RequestSignature | None = None) -> Inference:
    head = json.dumps(value).encode()
    return decode(head + b"".join(blobs), str(len(head)).encode(), wanted or signature())


def binary_input(size: Any, **changes: Any) -> dict[str, Any]:
    return one_input(data=None, parameters={"binary_data_size": size}, **changes)


def refusal(value: Any, wanted: RequestSignature | None = None) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decode_json(value, wanted)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "z"}, "input 'z' is unknown, the model has 'x'"),
        ({"datatype": "FP64"}, "input 'x': datatype FP64, want FP32"),
        ({"datatype": "float"}, "input 'x': datatype float, want FP32"),
        ({"shape": [1, -2]}, r"input 'x': shape \[1, -2\] has a negative dimension"),
        ({"shape": [-1, -2], "data": [1, 2]}, r"input 'x': shape \[-1, -2\] has a negative dimension"),
        ({"shape": [1, 3], "data": [1, 2, 3]}, r"input 'x': shape \[1, 3\], want \[-1, 2\]"),
        ({"shape": [2]}, r"input 'x': shape \[2\], want \[-1, 2\]"),
        ({"shape": [1, 1, 2]}, r"input 'x': shape \[1, 1, 2\], want \[-1, 2\]"),
        ({"shape": [2**62, 2]}, r"input 'x': shape \[4611686018427387904, 2\] is too large, limit 2147483647 elements"),
        ({"shape": [2**80, 2]}, "input 'x': shape .* is too large"),
        ({"shape": [0, 2**40]}, "input 'x': shape .* is too large"),
        ({"shape": [1.0, 2]}, r"Expected `int`, got `float` - at `\$.inputs\[0\].shape\[0\]`"),
        ({"shape": [True, 2]}, "Expected `int`, got `bool`"),
        ({"shape": None}, "missing required field `shape` - at `\\$.inputs\\[0\\]`"),
        ({"shape": "1,2"}, "Expected `array`, got `str`"),
        ({"name": None}, "missing required field `name`"),
        ({"datatype": None}, "missing required field `datatype`"),
        ({"shape": [2, 2]}, r"input 'x': data has 2 elements, want 4 for the shape \[2, 2\]"),
        ({"data": [1]}, "input 'x': data has 1 elements, want 2"),
        ({"data": [1, 2, 3]}, "input 'x': data has 3 elements, want 2"),
        ({"data": []}, "input 'x': data has 0 elements, want 2"),
        ({"data": None}, "input 'x' has neither data nor the parameter binary_data_size"),
        ({"data": ["1", "2"]}, "input 'x': data is not FP32: Expected `float`, got `str`"),
        ({"data": [True, 2]}, "input 'x': data is not FP32: Expected `float`, got `bool`"),
        ({"data": [1, [None]]}, "input 'x': data is not FP32: Expected `float`, got `array`"),
        ({"data": 5}, "input 'x': data is nested 0 deep, want 1 or 2"),
        ({"data": {"0": 1}}, "input 'x': data is nested 0 deep"),
        ({"data": [[[1, 2]]]}, "input 'x': data is nested 3 deep, want 1 or 2"),
        ({"data": [[1], [2]]}, r"input 'x': data has a list of 2 in dimension 0, want 1, as shape \[1, 2\]"),
        ({"data": [[1, 2, 3]]}, "input 'x': data has a list of 3 in dimension 1, want 2"),
        ({"data": [[1, 2], 3]}, "input 'x': data is not FP32: Expected `array`, got `int`"),
        ({"data": [1, [2]]}, "input 'x': data is not FP32: Expected `float`, got `array`"),
        ({"data": [1e39, 2]}, "input 'x': data is out of the range of FP32"),
        ({"parameters": {"binary_data_size": 8}}, "input 'x' has both data and the parameter binary_data_size"),
        ({"parameters": {"shared_memory_region": "r"}}, "input 'x': shared memory is not supported"),
        ({"parameters": [1]}, "Expected `object | null`, got `array`"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode_json(one_input(**change))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the request is not JSON"),
        (b"{", "the request is not JSON"),
        (b"\xff\xfe", "the request is not JSON"),
        (b'{"inputs": [{"name": "\xff"}]}', "the request is not JSON"),
        (b"[]", "not an inference request: Expected `object`, got `array`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": {}}', "Expected `array`, got `object`"),
        (b'{"inputs": []}', "input 'x' is missing, the model wants 'x'"),
        (b'{"inputs": [], "id": 7}', "Expected `str | null`, got `int`"),
        (b'{"inputs": []} tail', "the request is not JSON"),
        (b'{"parameters": {"a": ' + b"[" * 100_000, "the request is not JSON"),
        (b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[nan,1]}]}', "the request is not JSON"),
        (b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1e999,1]}]}', "input 'x': .*out of range"),
        (b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[' + b"[" * 9999, "the request is not JSON"),
    ],
)
def test_a_body_that_is_not_a_request_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode(body, None, signature())


def test_an_input_that_is_given_twice_is_refused() -> None:
    value = one_input()
    value["inputs"] *= 2
    assert refusal(value) == "input 'x' is given twice"


def test_a_missing_input_is_named() -> None:
    both = signature(Tensor("x", "FP32", (-1, 2)), Tensor("mask", "BOOL", (-1,)))
    assert refusal(one_input(), both) == "input 'mask' is missing, the model wants 'x', 'mask'"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([{"name": "z"}], "output 'z' is unknown, the model has 'y'"),
        ([{"name": "y"}, {"name": "y"}], "output 'y' is asked for twice"),
        ([{"name": "y", "parameters": {"binary_data": 1}}], "output 'y': binary_data is 1, want true or false"),
        ([{"name": "y", "parameters": {"classification": 3}}], "output 'y': classification is not supported"),
        ([{"name": "y", "parameters": {"shared_memory_region": "r"}}], "output 'y': shared_memory_region is not"),
        ([{}], "missing required field `name`"),
    ],
)
def test_an_output_that_cannot_be_given_is_refused_by_name(outputs: list[Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode_json({**one_input(), "outputs": outputs})


def test_without_outputs_all_are_returned_in_the_form_of_binary_data_output() -> None:
    assert [wanted.binary for wanted in decode_json(one_input()).wanted] == [False]
    value = {**one_input(), "parameters": {"binary_data_output": True}}
    assert [wanted.binary for wanted in decode_json(value).wanted] == [True]


def test_an_outputs_own_binary_data_wins_over_binary_data_output() -> None:
    value = {**one_input(), "parameters": {"binary_data_output": True}}
    value["outputs"] = [{"name": "y", "parameters": {"binary_data": False}}]
    assert [wanted.binary for wanted in decode_json(value).wanted] == [False]


def test_binary_data_output_that_is_not_a_boolean_is_refused() -> None:
    assert "binary_data_output is 'yes'" in refusal({**one_input(), "parameters": {"binary_data_output": "yes"}})


def test_nested_data_equals_flat_data() -> None:
    flat = decode_json(one_input(shape=[2, 2], data=[1, 2, 3, 4])).feeds["x"]
    nested = decode_json(one_input(shape=[2, 2], data=[[1, 2], [3, 4]])).feeds["x"]
    assert flat.tolist() == nested.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("data", [5, [5]])
def test_a_scalar_is_given_bare_or_in_a_list(data: Any) -> None:
    scalar = signature(Tensor("sr", "INT64", ()))
    array = decode_json({"inputs": [{"name": "sr", "shape": [], "datatype": "INT64", "data": data}]}, scalar).feeds[
        "sr"
    ]
    assert array.shape == ()
    assert array == 5


def test_an_open_dimension_may_be_empty() -> None:
    assert decode_json(one_input(shape=[0, 2], data=[])).feeds["x"].shape == (0, 2)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        *((name, np.iinfo(name.lower()).max + 1) for name in ("INT8", "INT16", "INT32", "INT64")),
        *((name, np.iinfo(name.lower()).min - 1) for name in ("INT8", "INT16", "INT32", "INT64")),
        *((name, np.iinfo(name.lower()).max + 1) for name in ("UINT8", "UINT16", "UINT32", "UINT64")),
        *((name, -1) for name in ("UINT8", "UINT16", "UINT32", "UINT64")),
        ("INT64", 10**40),
        ("FP32", 3.5e38),
        ("FP64", 10**400),
    ],
)
def test_a_value_beyond_its_datatype_is_refused_never_wrapped(datatype: str, value: float) -> None:
    declared = signature(Tensor("x", datatype, (1,)))
    assert "out of" in refusal(one_input(shape=[1], datatype=datatype, data=[value]), declared)


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"])
def test_the_ends_of_an_integer_type_are_exact(datatype: str) -> None:
    ends = [np.iinfo(datatype.lower()).min, np.iinfo(datatype.lower()).max]
    declared = signature(Tensor("x", datatype, (2,)))
    assert decode_json(one_input(shape=[2], datatype=datatype, data=ends), declared).feeds["x"].tolist() == ends


@pytest.mark.parametrize(
    ("datatype", "data"),
    [("INT64", [1.5]), ("INT64", [1.0]), ("INT64", [True]), ("BOOL", [0]), ("BOOL", ["true"]), ("BYTES", [1])],
)
def test_no_json_type_is_confused_with_another(datatype: str, data: list[Any]) -> None:
    declared = signature(Tensor("x", datatype, (1,)))
    assert f"data is not {datatype}: Expected" in refusal(one_input(shape=[1], datatype=datatype, data=data), declared)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_travels_as_binary_only(datatype: str) -> None:
    tensor = Tensor("x", datatype, (1,))
    given = one_input(shape=[1], datatype=datatype, data=[1.0])
    assert refusal(given, signature(tensor)) == f"input 'x': {datatype} has no JSON form, send it as binary data"
    half_output = signature(outputs=(Tensor("y", datatype, (1,)),))
    assert refusal(one_input(), half_output) == f"output 'y': {datatype} has no JSON form, ask for it with binary_data"


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_asking_for_json_that_another_model_could_give_is_not_an_error_of_the_client(datatype: str) -> None:
    with pytest.raises(UnfitRequest):
        decode_json(one_input(), signature(outputs=(Tensor("y", datatype, (1,)),)))


@pytest.mark.parametrize(
    "value",
    [
        one_input(data=[1]),
        one_input(data=["1", "2"]),
        one_input(data=[1e39, 2]),
        binary_input(8),
        {**one_input(), "outputs": [{"name": "y"}, {"name": "y"}]},
        {**one_input(), "outputs": [{"name": "y", "parameters": {"classification": 3}}]},
    ],
)
def test_a_request_that_no_model_could_take_is_an_error_of_the_client(value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_json(value)
    assert caught.value.outcome == contract.CLIENT_ERROR


def test_binary_data_of_another_size_than_its_own_shape_is_an_error_of_the_client() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_binary(binary_input(4), b"1234")
    assert caught.value.outcome == contract.CLIENT_ERROR


# --- binary tensor data ---


@pytest.mark.parametrize("padding", range(5))
def test_binary_data_is_exact_wherever_it_begins(padding: int) -> None:
    array = np.array([[np.nan, -0.0], [np.inf, 1e-45]], "<f4")
    value = {**binary_input(16, shape=[2, 2]), "id": "i" * padding}
    fed = decode_binary(value, array.tobytes()).feeds["x"]
    assert fed.tobytes() == array.tobytes()
    assert fed.flags.aligned


@pytest.mark.parametrize(
    ("size", "blob", "message"),
    [
        (8, b"1234567", "input 'x': binary_data_size is 8, only 7 bytes are left in the body"),
        (8, b"123456789", "9 bytes of binary data, the inputs name 8 by binary_data_size"),
        (4, b"1234", r"input 'x': 4 bytes of data, want 8 for FP32 of shape \[1, 2\]"),
        (9, b"123456789", "input 'x': 9 bytes of data, want 8"),
        (-8, b"12345678", "input 'x': binary_data_size is -8, want a number of bytes"),
        ("8", b"12345678", "input 'x': binary_data_size is '8', want a number of bytes"),
        (True, b"1", "input 'x': binary_data_size is True, want a number of bytes"),
        (8.0, b"12345678", "input 'x': binary_data_size is 8.0, want a number of bytes"),
        (2**70, b"", "input 'x': binary_data_size is 1180591620717411303424, only 0 bytes are left"),
    ],
)
def test_binary_data_of_another_length_is_refused(size: Any, blob: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode_binary(binary_input(size), blob)


@pytest.mark.parametrize("header", [b"-1", b"1e3", b"", b"x", b"+5", b" 5", b"9" * 5000, "²".encode("latin-1")])
def test_an_invalid_header_length_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"Inference-Header-Content-Length is '.*', want a length in bytes"):
        decode(json.dumps(one_input()).encode(), header, signature())


def test_a_header_length_beyond_the_body_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Inference-Header-Content-Length is 999, the body has only 2 bytes"):
        decode(b"{}", b"999", signature())


def test_binary_data_without_the_header_length_is_refused() -> None:
    missing = "the header Inference-Header-Content-Length is missing"
    assert missing in refusal(binary_input(8))
    with pytest.raises(InvalidRequest, match=missing):
        decode(json.dumps(binary_input(8)).encode() + bytes(8), None, signature())


def test_json_and_binary_inputs_mix() -> None:
    both = signature(Tensor("x", "FP32", (-1, 2)), Tensor("n", "INT64", (1,)))
    value = binary_input(8)
    value["inputs"].insert(0, {"name": "n", "shape": [1], "datatype": "INT64", "data": [9]})
    feeds = decode_binary(value, struct.pack("<2f", 1, 2), wanted=both).feeds
    assert feeds["n"].tolist() == [9]
    assert feeds["x"].tolist() == [[1, 2]]


def test_a_bool_byte_is_0_or_1() -> None:
    declared = signature(Tensor("x", "BOOL", (2,)))
    given = binary_input(2, shape=[2], datatype="BOOL")
    assert decode_binary(given, b"\x00\x01", wanted=declared).feeds["x"].tolist() == [False, True]
    with pytest.raises(InvalidRequest, match="input 'x': a BOOL byte is neither 0 nor 1"):
        decode_binary(given, b"\x00\x02", wanted=declared)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"\x01\x00\x00\x00a", "input 'x': 1 BYTES elements, want 2"),
        (b"\x00\x00\x00\x00" * 3, "input 'x': 3 BYTES elements, want 2"),
        (b"\x01\x00\x00\x00a\x05\x00\x00\x00b", "input 'x': BYTES element 1 ends beyond its 10 bytes"),
        (b"\x01\x00\x00\x00a\x00\x00", "input 'x': BYTES element 1 ends beyond its 7 bytes"),
        (b"\xff\xff\xff\xff", "input 'x': BYTES element 0 ends beyond its 4 bytes"),
        (b"\x01\x00\x00\x00a\x01\x00\x00\x00\xff", "input 'x': BYTES element 1 is not UTF-8"),
    ],
)
def test_bytes_elements_that_do_not_fit_are_refused(blob: bytes, message: str) -> None:
    declared = signature(Tensor("x", "BYTES", (2,)))
    with pytest.raises(InvalidRequest, match=message):
        decode_binary(binary_input(len(blob), shape=[2], datatype="BYTES"), blob, wanted=declared)


# --- the whole body is the input ---


@pytest.mark.parametrize(
    ("declared", "size", "shape"),
    [((-1, 2), 24, (3, 2)), ((2, 3), 24, (2, 3)), ((-1, -1), 20, (1, 5)), ((-1, 2), 0, (0, 2)), ((), 4, ())],
)
def test_the_shape_of_a_raw_body_follows_from_its_length(
    declared: tuple[int, ...], size: int, shape: tuple[int, ...]
) -> None:
    body = np.arange(size // 4, dtype="<f4").tobytes()
    inference = decode(body, b"0", signature(Tensor("x", "FP32", declared)))
    assert inference.feeds["x"].shape == shape
    assert inference.feeds["x"].tobytes() == body
    assert all(wanted.binary for wanted in inference.wanted)


@pytest.mark.parametrize(("declared", "size"), [((-1, 2), 12), ((2, 3), 20), ((), 8), ((-1,), 3)])
def test_a_raw_body_of_another_length_is_refused(declared: tuple[int, ...], size: int) -> None:
    with pytest.raises(UnfitRequest, match=f"input 'x': {size} bytes of data, want"):
        decode(bytes(size), b"0", signature(Tensor("x", "FP32", declared)))


@pytest.mark.parametrize(
    ("datatype", "message"), [("BOOL", "a BOOL byte is neither 0 nor 1"), ("BYTES", "BYTES element 0 is not UTF-8")]
)
def test_a_raw_body_of_another_datatype_is_not_an_error_of_the_client(datatype: str, message: str) -> None:
    with pytest.raises(UnfitRequest, match=message):
        decode(b"\xff", b"0", signature(Tensor("x", datatype, (1,))))


def test_a_raw_body_is_one_string() -> None:
    inference = decode("häuser".encode(), b"0", signature(Tensor("x", "BYTES", (-1, 1))))
    assert inference.feeds["x"].tolist() == [["häuser"]]


def test_a_raw_body_needs_a_model_with_one_input() -> None:
    with pytest.raises(InvalidRequest, match="needs a model with one input; this one has 2"):
        decode(b"1234", b"0", signature(Tensor("a", "FP32", (1,)), Tensor("b", "FP32", (1,))))


# --- replies ---


def test_a_reply_echoes_the_id_and_leaves_an_absent_one_out() -> None:
    array = np.zeros((1, 2), np.float32)
    with_id = encode(decode_json({**one_input(), "id": "a-7"}), "m", "r", [array])
    assert json.loads(with_id.body)["id"] == "a-7"
    assert "id" not in json.loads(encode(decode_json(one_input()), "m", "r", [array]).body)


def test_json_replies_have_null_for_nan_and_infinity() -> None:
    reply = encode(decode_json(one_input()), "m", "r", [np.array([[np.nan, np.inf]], np.float32)])
    assert json.loads(reply.body) == {
        "model_name": "m",
        "model_version": "r",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [None, None]}],
    }


def test_a_float32_survives_json_bit_by_bit() -> None:
    array = np.frombuffer(np.random.default_rng(3).bytes(4000), "<f4").reshape(-1, 2)
    array = array[np.isfinite(array).all(axis=1)]
    reply = encode(decode_json(one_input()), "m", "r", [array])
    data = json.loads(reply.body)["outputs"][0]["data"]
    again = decode_json(one_input(shape=list(array.shape), data=data)).feeds["x"]
    assert again.tobytes() == array.tobytes()


def test_a_binary_reply_has_its_blobs_in_the_order_of_the_outputs() -> None:
    outputs = (Tensor("y", "FP32", (-1, 2)), Tensor("label", "BYTES", (-1,)), Tensor("n", "INT64", ()))
    value = {**one_input(), "outputs": [{"name": "label"}, {"name": "y"}, {"name": "n"}]}
    for output in value["outputs"][:2]:
        output["parameters"] = {"binary_data": True}
    inference = decode_json(value, signature(outputs=outputs))
    y = np.array([[1, 2]], np.float32)
    reply = encode(inference, "m", "r", [np.array(["ä", ""], object), y, np.array(3)])
    headers = dict(reply.headers)
    assert headers[b"content-type"] == b"application/octet-stream"
    split = int(headers[b"inference-header-content-length"])
    head = json.loads(reply.body[:split])
    assert head["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 10}},
        {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        {"name": "n", "datatype": "INT64", "shape": [], "data": [3]},
    ]
    assert reply.body[split:] == b"\x02\x00\x00\x00\xc3\xa4\x00\x00\x00\x00" + y.tobytes()


def test_every_datatype_is_little_endian_on_the_wire() -> None:
    assert all(datatype.numpy.newbyteorder("<") == datatype.numpy for datatype in DATATYPES.values())


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_request_is_accepted_or_refused_and_nothing_else_happens(seed: int) -> None:
    random = Random(seed)
    declared = signature(Tensor("x", "FP32", (-1, 2)), Tensor("s", "BYTES", (-1,)), Tensor("n", "INT64", ()))
    text = {"name": "s", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}}
    number = {"name": "n", "shape": [], "datatype": "INT64", "data": 7}
    value = {"id": "1", "inputs": [*one_input(data=[[1, 2]])["inputs"], text, number], "outputs": [{"name": "y"}]}
    head = json.dumps(value).encode()
    valid = head + b"\1\0\0\0a\1\0\0\0b"
    pieces = [b"[", b"]", b"{", b"}", b'"', b",", b"-", b"null", b"1e999", b"9" * 20, b"\\ud800", b"\xff", b'"data":[]']
    for _ in range(2000):
        damaged = bytearray(valid)
        for _ in range(random.randint(1, 3)):
            at = random.randrange(len(damaged))
            damaged[at : at + random.randint(0, 6)] = random.choice([*pieces, random.randbytes(2), b""])
        header = random.choice([str(len(damaged) - 10), str(len(head)), "0", str(random.randrange(300))])
        with contextlib.suppress(InvalidRequest):
            decode(bytes(damaged), header.encode(), declared)
