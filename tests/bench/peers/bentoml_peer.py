"""BentoML: a service with one JSON endpoint, started as ``bentoml serve`` does it."""

import os
import sys
from typing import Any

import bentoml
import numpy as np
from session import open_session

DTYPES = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}


@bentoml.service(workers=1, traffic={"timeout": 60})
class Onnx:
    def __init__(self) -> None:
        self.session = open_session(os.environ["MODEL"])
        self.names = [output.name for output in self.session.get_outputs()]

    @bentoml.api(route="/v2/models/m/infer")
    def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        feeds = {t["name"]: np.array(t["data"], DTYPES[t["datatype"]]).reshape(t["shape"]) for t in inputs}
        outputs = self.session.run(self.names, feeds)
        return {
            "outputs": [
                {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
                for name, array in zip(self.names, outputs, strict=True)
            ]
        }


if __name__ == "__main__":
    os.environ["MODEL"] = sys.argv[1]
    Onnx.serve_http(host="127.0.0.1", port=int(sys.argv[2]), blocking=True)  # type: ignore[attr-defined]
