"""KServe's SDK: a Model with ``predict``; JSON and binary tensors by the SDK."""

import sys
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from session import open_session


class OnnxModel(Model):  # type: ignore[misc]  # its stubs are not here
    """A model of KServe's Python server."""

    def __init__(self, path: str) -> None:
        super().__init__("m")
        self.session = open_session(path)
        self.names = [output.name for output in self.session.get_outputs()]
        self.ready = True

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        """Returns the outputs for a request."""
        outputs = self.session.run(self.names, {item.name: item.as_numpy() for item in payload.inputs})
        found = []
        for name, array in zip(self.names, outputs, strict=True):
            output = InferOutput(name, list(array.shape), "FP32")
            output.set_data_from_numpy(array, binary_data=bool(payload.use_binary_outputs))
            found.append(output)
        return InferResponse(response_id=payload.id or "", model_name="m", infer_outputs=found)


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[2]), workers=1, enable_grpc=False, access_log_format="").start(
        [OnnxModel(sys.argv[1])]
    )
