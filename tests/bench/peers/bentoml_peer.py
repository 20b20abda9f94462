"""BentoML: a service with one JSON endpoint, started as ``bentoml serve`` does it."""

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from session import open_session

DTYPES = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}


@bentoml.service(workers=1, traffic={"timeout": 60})
class Onnx:
    """A service of BentoML with one model."""

    def __init__(self) -> None:
        self.session = open_session(os.environ["MODEL"])
        self.names = [output.name for output in self.session.get_outputs()]

    @bentoml.api(route="/v2/models/m/infer")
    def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns the outputs for ``inputs``, in the form of the Open Inference Protocol."""
        feeds = {t["name"]: np.array(t["data"], DTYPES[t["datatype"]]).reshape(t["shape"]) for t in inputs}
        outputs = self.session.run(self.names, feeds)
        return {
            "outputs": [
                {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
                for name, array in zip(self.names, outputs, strict=True)
            ]
        }


if __name__ == "__main__":
    os.environ.update(MODEL=sys.argv[1], BENTOML_DO_NOT_TRACK="True")
    os.chdir(Path(__file__).parent)
    serve = ["-m", "bentoml", "serve", "bentoml_peer:Onnx", "--host", "127.0.0.1", "--port", sys.argv[2]]
    os.execv(sys.executable, [sys.executable, *serve])  # noqa: S606 - no shell
