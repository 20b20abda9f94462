"""FastAPI, written by hand: pydantic models, a plain function, uvicorn."""

import sys
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from session import open_session

DTYPES = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}


class Tensor(BaseModel):
    """An input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferRequest(BaseModel):
    """An infer request of the Open Inference Protocol in JSON."""

    inputs: list[Tensor]


def application(path: str) -> FastAPI:
    """Returns the application that serves the model at ``path``."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    app = FastAPI()

    @app.post("/v2/models/m/infer")
    def infer(request: InferRequest) -> dict[str, Any]:
        feeds = {t.name: np.array(t.data, DTYPES[t.datatype]).reshape(t.shape) for t in request.inputs}
        outputs = session.run(names, feeds)
        return {
            "model_name": "m",
            "outputs": [
                {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}
                for name, array in zip(names, outputs, strict=True)
            ],
        }

    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
