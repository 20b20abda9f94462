"""Models of any size, made in a second: chains of products whose weights are the same random numbers."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper


def chain(folder: Path, products: int) -> Path:
    """Writes a chain of products of 1024 x 2048 and 2048 x 1024, and returns the path of its graph.

    A weight has 8.4 MB; all of them are in a file of their own.
    """
    folder.mkdir()
    random = (np.random.default_rng(1).standard_normal(1024 * 2048) / 32).astype(np.float32)
    nodes, stored = [], []
    with (folder / "model.onnx.data").open("wb") as data:
        for number in range(products):
            shape = (1024, 2048) if number % 2 == 0 else (2048, 1024)
            tensor = TensorProto(name=f"w{number}", data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, entry in (("location", "model.onnx.data"), ("offset", data.tell()), ("length", random.nbytes)):
                tensor.external_data.add(key=key, value=str(entry))
            data.write(random.tobytes())
            stored.append(tensor)
            nodes.append(
                helper.make_node("MatMul", [f"h{number}", f"w{number}"], [f"h{number + 1}"], f"product{number}")
            )
    width = 2048 if products % 2 else 1024
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["rows", 1024])],
        [helper.make_tensor_value_info(f"h{products}", TensorProto.FLOAT, ["rows", width])],
        stored,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    return folder / "model.onnx"
