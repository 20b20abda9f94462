"""LitServe: a LitAPI of one worker."""

import sys
from typing import Any

import litserve
import numpy as np
from session import open_session


class OnnxApi(litserve.LitAPI):  # type: ignore[misc]  # its stubs are not here
    """An API of LitServe with one model."""

    def __init__(self, path: str) -> None:
        super().__init__(api_path="/v2/models/m/infer")
        self.path = path

    def setup(self, device: str) -> None:
        """Loads the model; LitServe calls this in each worker."""
        self.session = open_session(self.path)
        self.names = [output.name for output in self.session.get_outputs()]

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the inputs of a request as arrays."""
        dtypes = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}
        return {t["name"]: np.array(t["data"], dtypes[t["datatype"]]).reshape(t["shape"]) for t in request["inputs"]}

    def predict(self, x: dict[str, Any]) -> Any:
        """Returns the outputs for the inputs ``x``."""
        return self.session.run(self.names, x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Returns the outputs in the form of the Open Inference Protocol."""
        return {
            "outputs": [
                {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
                for name, array in zip(self.names, output, strict=True)
            ]
        }


if __name__ == "__main__":
    server = litserve.LitServer(OnnxApi(sys.argv[1]), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="error", generate_client_file=False)
