"""Random infer requests for ``artifacts.mlp`` that are wrong in one of many ways, derived from valid ones."""

import copy
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from tests.unit.inference_server import artifacts

FEATURES = artifacts.FEATURES
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Bad:
    rule: str
    body: bytes
    headers: Mapping[str, str]


Document = dict[str, Any]
Rule = Callable[[Random, Document], Any]


def valid(random: Random) -> Document:
    items = random.randint(1, 4)
    data = [round(random.uniform(-3, 3), 3) for _ in range(items * FEATURES)]
    document: Document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [items, FEATURES], "data": data}]}
    if random.random() < 0.3:
        document["id"] = f"r{random.randint(0, 99)}"
    if random.random() < 0.3:
        document["outputs"] = [{"name": "scores"}]
    return document


def junk(random: Random) -> Any:
    """Returns a value of a random type."""
    return random.choice(
        [
            None,
            True,
            -1,
            1.5,
            10**30,
            "",
            "x" * random.randint(1, 3000),
            [],
            {},
            [[]],
            [None],
            {"a": [1]},
            "\ud7ff€",
            [{}],
        ]
    )


def _set(path: str, value: Callable[[Random], Any]) -> Rule:
    """Returns a rule that sets ``path`` of the first input, or of the request if it begins with /."""

    def rule(random: Random, document: Document) -> None:
        place = document if path.startswith("/") else document["inputs"][0]
        place[path.removeprefix("/")] = value(random)

    return rule


def _not(kind: type | tuple[type, ...], *fine: Any) -> Callable[[Random], Any]:
    def value(random: Random) -> Any:
        while isinstance(found := junk(random), kind) or found in fine:
            pass
        return found

    return value


def _data(change: Callable[[Random, list[Any]], Any]) -> Rule:
    def rule(random: Random, document: Document) -> None:
        tensor = document["inputs"][0]
        changed = change(random, tensor["data"])
        tensor["data"] = tensor["data"] if changed is None else changed

    return rule


def _spoil(random: Random, data: list[Any]) -> None:
    data[random.randrange(len(data))] = random.choice(["1.0", True, [], {}, 1e39, -1e300, [1.0]])


def _nested(random: Random, data: list[Any]) -> list[Any]:
    """Returns rows, one of which has another length."""
    rows = [data[at : at + FEATURES] for at in range(0, len(data), FEATURES)]
    rows[random.randrange(len(rows))] = random.choice([[], data[: FEATURES - 1], [1.0] * (FEATURES + 1), "row", 3])
    return rows


def _drop(key: str) -> Rule:
    return lambda _, document: document["inputs"][0].pop(key)


def _twice(_: Random, document: Document) -> None:
    document["inputs"].append(copy.deepcopy(document["inputs"][0]))


STRUCTURE: Mapping[str, Rule] = {
    "inputs of another type": _set("/inputs", _not((list,))),
    "no inputs": _set("/inputs", lambda _: []),
    "the same input twice": _twice,
    "an unknown input": _set("name", lambda random: f"y{random.randint(0, 9)}"),
    "a name of another type": _set("name", _not(str)),
    "no name": _drop("name"),
    "a datatype of another type": _set("datatype", _not(str)),
    "another datatype": _set(
        "datatype", lambda random: random.choice(["FP64", "fp32", "BYTES", "INT8", "", "FP99", "BF16"])
    ),
    "no datatype": _drop("datatype"),
    "a shape of another type": _set("shape", _not(list)),
    "no shape": _drop("shape"),
    "a negative shape": _set("shape", lambda random: random.choice([[-1, 16], [1, -16], [-1, -16]])),
    "a shape that overflows": _set(
        "shape", lambda random: random.choice([[2**31, 16], [2**62, 2**62], [2**64, 16], [10**25, 16], [2**40] * 9])
    ),
    "a shape of other ranks": _set("shape", lambda random: [16] * random.choice([0, 1, 3, 40])),
    "a shape with wrong sizes": _set("shape", lambda random: [random.randint(5, 10**6), 16]),
    "a shape of wrong elements": _set("shape", lambda random: [random.choice(["1", 1.5, None, True, []]), 16]),
    "data of another type": _set("data", _not((list,))),
    "no data": _drop("data"),
    "too little data": _data(lambda random, data: data[: random.randrange(len(data))]),
    "too much data": _data(lambda random, data: data + [0.5] * random.randint(1, 5000)),
    "an element that is none": _data(_spoil),
    "rows of other lengths": _data(_nested),
    "data nested deep": _data(lambda random, _: _deep(random.choice([3, 50, 400]))),
    "parameters of another type": _set("/parameters", _not(dict, None)),
    "an input's parameters of another type": _set("parameters", _not((dict, type(None)))),
    "a flag that is none": _set("/parameters", lambda random: {"binary_data_output": _not((bool, type(None)))(random)}),
    "a time that is none": _set("/parameters", lambda random: {"timeout": _not((int, bool, type(None)))(random)}),
    "a negative time": _set("/parameters", lambda random: {"timeout": -random.randint(1, 10**9)}),
    "a size without binary data": _set("parameters", lambda random: {"binary_data_size": random.randint(0, 10**9)}),
    "shared memory": _set("parameters", lambda _: {"shared_memory_region": "r"}),
    "an id of another type": _set("/id", _not((str, type(None)))),
    "outputs of another type": _set("/outputs", _not((list, type(None)))),
    "an unknown output": _set("/outputs", lambda random: [{"name": f"z{random.randint(0, 9)}"}]),
    "an output twice": _set("/outputs", lambda _: [{"name": "scores"}, {"name": "scores"}]),
    "an output's flag that is none": _set(
        "/outputs", lambda random: [{"name": "scores", "parameters": {"binary_data": _not((bool, type(None)))(random)}}]
    ),
    "classification": _set("/outputs", lambda _: [{"name": "scores", "parameters": {"classification": 1}}]),
}


def _deep(levels: int) -> Any:
    found: Any = 1.0
    for _ in range(levels):
        found = [found]
    return found


def structured(random: Random) -> Bad:
    """Returns JSON of a structure that the protocol does not have."""
    rule = random.choice(sorted(STRUCTURE))
    document = valid(random)
    STRUCTURE[rule](random, document)
    return Bad(rule, json.dumps(document).encode(), {})


def _cut(random: Random, body: bytes) -> bytes:
    return body[: random.randrange(len(body))]


def _comma(random: Random, body: bytes) -> bytes:
    at = random.choice([at for at, byte in enumerate(body) if byte in b"[]{}:,"])
    wrong = [b",,", b"}", b"]", b"\x00", b"'", b"\xff\xfe", b"//"]
    return body[:at] + random.choice([sign for sign in wrong if sign != body[at : at + 1]]) + body[at + 1 :]


TEXT: Mapping[str, Callable[[Random, bytes], bytes]] = {
    "JSON cut short": _cut,
    "JSON with a wrong sign": _comma,
    "something behind the JSON": lambda random, body: body + random.choice([b"x", b"{}", b"]", b"\x00", b"1"]),
    "something before the JSON": lambda random, body: random.choice([b"\xef\xbb", b"x", b")]}'", b"\x00"]) + body,
    "NaN in JSON": lambda random, body: body.replace(
        b'"data": [', b'"data": [' + random.choice([b"NaN, ", b"Infinity, "])
    ),
    "another encoding": lambda random, body: body.decode().encode(random.choice(["utf-16", "utf-32"])),
    "no text at all": lambda random, _: random.randbytes(random.randint(1, 2000)),
    "brackets without end": lambda random, _: (
        random.choice([b"[", b'{"inputs":[', b'{"a":']) * random.randint(1, 20_000)
    ),
}


def textual(random: Random) -> Bad:
    """Returns a text that is not JSON."""
    rule = random.choice(sorted(TEXT))
    return Bad(rule, TEXT[rule](random, json.dumps(valid(random)).encode()), {})


def binary_parts(random: Random) -> tuple[Document, bytes]:
    items = random.randint(1, 4)
    blob = np.float32([random.uniform(-3, 3) for _ in range(items * FEATURES)]).tobytes()
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [items, FEATURES],
        "parameters": {"binary_data_size": len(blob)},
    }
    return {"inputs": [tensor]}, blob


def _joined(document: Document, blob: bytes, length: Any = None) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(document).encode()
    return head + blob, {HEADER_LENGTH: str(len(head) if length is None else length)}


def _sized(size: Callable[[Random, int], Any]) -> Callable[[Random, Document, bytes], tuple[bytes, dict[str, str]]]:
    def rule(random: Random, document: Document, blob: bytes) -> tuple[bytes, dict[str, str]]:
        document["inputs"][0]["parameters"]["binary_data_size"] = size(random, len(blob))
        return _joined(document, blob)

    return rule


def _reshaped(random: Random, document: Document, blob: bytes) -> tuple[bytes, dict[str, str]]:
    document["inputs"][0]["shape"] = random.choice([[len(blob) // 64 + 1, 16], [0, 16], [2**25, 16], [-1, 16], [1, 1]])
    return _joined(document, blob)


def _both(_: Random, document: Document, blob: bytes) -> tuple[bytes, dict[str, str]]:
    document["inputs"][0]["data"] = [0.0]
    return _joined(document, blob)


BINARY: Mapping[str, Callable[[Random, Document, bytes], tuple[bytes, dict[str, str]]]] = {
    "binary data cut short": lambda random, document, blob: _joined(document, blob[: random.randrange(len(blob))]),
    "bytes behind the binary data": lambda random, document, blob: _joined(document, blob + random.randbytes(5)),
    "a header length that is none": lambda random, document, blob: _joined(
        document, blob, random.choice(["-1", "x", "1.5", "0x10", "+5", "1e3", "9" * 40, "1 2"])
    ),
    "a header length beyond the body": lambda random, document, blob: _joined(
        document, blob, 10 ** random.randint(6, 17)
    ),
    "a header length within the JSON": lambda random, document, blob: _joined(document, blob, random.randint(1, 80)),
    "a wrong size": _sized(lambda random, size: random.choice([size - 1, size + 1, 0, 10**12, 2**63, size - 64])),
    "a size that is none": _sized(lambda random, _: random.choice([-1, 1.5, "64", None, True, [], {}])),
    "binary data of another shape": _reshaped,
    "data and binary data": _both,
    "raw data of no whole item": lambda random, _, blob: (
        blob + random.randbytes(random.randint(1, 63)),
        {HEADER_LENGTH: "0"},
    ),
}


def binary(random: Random) -> Bad:
    rule = random.choice(sorted(BINARY))
    return Bad(rule, *BINARY[rule](random, *binary_parts(random)))


def coded(random: Random) -> Bad:
    """Returns compressed bodies that are damaged, cut, of another coding, or hold something wrong."""
    wrong = structured(random)
    match random.randrange(6):
        case 0:
            packed = gzip.compress(json.dumps(valid(random)).encode())
            return Bad("gzip cut short", packed[: random.randrange(1, len(packed))], {"Content-Encoding": "gzip"})
        case 1:
            packed = bytearray(gzip.compress(json.dumps(valid(random)).encode()))
            packed[-5 - random.randrange(4)] ^= 1 << random.randrange(8)  # its checksum
            return Bad("gzip damaged", bytes(packed), {"Content-Encoding": "gzip"})
        case 2:
            return Bad(
                "another coding", wrong.body, {"Content-Encoding": random.choice(["br", "zstd", "gzip, gzip", "x"])}
            )
        case 3:
            bomb = zlib.compress(b" " * 3_000_000, 9)
            return Bad("a body that expands beyond the limit", bomb, {"Content-Encoding": "deflate"})
        case 4:
            return Bad("no gzip", wrong.body, {"Content-Encoding": "gzip"})
    return Bad("something wrong, compressed", gzip.compress(wrong.body), {"Content-Encoding": "gzip"})


def message(random: Random) -> tuple[str, bytes]:
    """Returns a rule, and a serialized gRPC infer request that breaks it."""
    rule = random.choice(sorted(MESSAGES))
    asked = MESSAGES[rule](random, _valid_message(random))
    return rule, asked if isinstance(asked, bytes) else asked.SerializeToString()


def _valid_message(random: Random) -> Any:
    items = random.randint(1, 4)
    asked = service_pb2.ModelInferRequest(model_name="tiny")
    asked.inputs.add(name="x", datatype="FP32", shape=[items, FEATURES])
    asked.raw_input_contents.append(np.float32([random.uniform(-3, 3) for _ in range(items * FEATURES)]).tobytes())
    return asked


def _changed(**fields: Any) -> Callable[[Random, Any], Any]:
    """Returns a rule that changes ``fields`` of the first input: values, or functions that return random ones."""

    def rule(random: Random, asked: Any) -> Any:
        for name, value in fields.items():
            found = value(random) if callable(value) else value
            if name == "shape":
                del asked.inputs[0].shape[:]
                asked.inputs[0].shape.extend(found)
            else:
                setattr(asked.inputs[0], name, found)
        return asked

    return rule


def _with_raw(raw: Callable[[Random, bytes], list[bytes]]) -> Callable[[Random, Any], Any]:
    def rule(random: Random, asked: Any) -> Any:
        found = raw(random, asked.raw_input_contents[0])
        del asked.raw_input_contents[:]
        asked.raw_input_contents.extend(found)
        return asked

    return rule


def _typed_wrong(random: Random, asked: Any) -> Any:
    del asked.raw_input_contents[:]
    field, value = random.choice(
        [
            ("fp64_contents", 1.0),
            ("int_contents", 1),
            ("bytes_contents", b"x"),
            ("bool_contents", True),
            ("fp32_contents", 1.0),
        ]
    )
    getattr(asked.inputs[0].contents, field).extend([value] * random.randint(1, 15))
    return asked


def _mixed(_: Random, asked: Any) -> Any:
    asked.inputs[0].contents.fp32_contents.extend([1.0])
    return asked


def _given_twice(_: Random, asked: Any) -> Any:
    asked.inputs.append(asked.inputs[0])
    asked.raw_input_contents.append(asked.raw_input_contents[0])
    return asked


def _outputs(random: Random, asked: Any) -> Any:
    for name in random.choice([["other"], ["scores", "scores"], ["scores", ""]]):
        asked.outputs.add(name=name)
    return asked


def _timeout(random: Random, asked: Any) -> Any:
    choice, value = random.choice(
        [("string_param", "1"), ("int64_param", -5), ("bool_param", True), ("double_param", 1.5)]
    )
    setattr(asked.parameters["timeout"], choice, value)
    return asked


def _torn(random: Random, asked: Any) -> bytes:
    data = bytearray(asked.SerializeToString())
    return bytes(data[: random.randrange(1, 12)]) + b"\xff" * 11  # a varint without end


MESSAGES: Mapping[str, Callable[[Random, Any], Any]] = {
    "an unknown input in gRPC": _changed(name=lambda random: f"y{random.randint(0, 9)}"),
    "another datatype in gRPC": _changed(datatype=lambda random: random.choice(["FP64", "", "BYTES", "INT8", "FP99"])),
    "another shape in gRPC": _changed(
        shape=lambda random: random.choice(
            [[], [16], [-1, 16], [1, -16], [2**40, 16], [2**62, 2**62], [9, 16], [1, 1, 16]]
        )
    ),
    "raw data cut short": _with_raw(lambda random, raw: [raw[: random.randrange(len(raw))]]),
    "raw data too long": _with_raw(lambda random, raw: [raw + random.randbytes(random.randint(1, 500))]),
    "raw data of more inputs": _with_raw(lambda random, raw: [raw] * random.randint(2, 40)),
    "typed contents that do not fit": _typed_wrong,
    "raw and typed contents": _mixed,
    "the same input twice in gRPC": _given_twice,
    "outputs that are not there": _outputs,
    "a time that is none in gRPC": _timeout,
    "bytes that are no message": _torn,
}
