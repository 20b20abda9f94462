"""MLServer: a custom runtime, in the server's own process (no parallel workers)."""

import asyncio
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from session import open_session


class OnnxRuntime(MLModel):  # type: ignore[misc]  # its stubs are not here
    """A runtime of MLServer with one model."""

    async def load(self) -> bool:
        """Loads the model, and returns True."""
        self.session = open_session(str(self.settings.parameters.uri))
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Returns the outputs for a request."""
        feeds = {item.name: NumpyCodec.decode_input(item) for item in payload.inputs}
        outputs = self.session.run(self.names, feeds)
        encoded = [NumpyCodec.encode_output(name, array) for name, array in zip(self.names, outputs, strict=True)]
        return InferenceResponse(model_name="m", outputs=encoded)


async def main(path: str, port: int) -> None:
    """Serves the model at ``path`` on ``port``."""
    settings = Settings(
        host="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_endpoint=None, parallel_workers=0, debug=False
    )
    model = ModelSettings(name="m", implementation=OnnxRuntime, parameters=ModelParameters(uri=path))
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
