"""The paths of the HTTP listener. Pure."""

import re
from dataclasses import dataclass
from enum import Enum, auto


class Endpoint(Enum):
    """The endpoints of the HTTP interface."""

    OPENAPI = auto()
    SERVER = auto()
    LIVE = auto()
    READY = auto()
    METRICS = auto()
    MODELS = auto()
    INDEX = auto()
    LOAD = auto()
    UNLOAD = auto()
    ALL_STATISTICS = auto()
    MODEL = auto()
    MODEL_READY = auto()
    CONFIG = auto()
    STATISTICS = auto()
    EXAMPLE = auto()
    INFER = auto()
    FEEDBACK = auto()
    REPLAY = auto()
    GENERATE = auto()
    GENERATE_STREAM = auto()
    CHAT = auto()
    COMPLETION = auto()
    OPENAI_MODELS = auto()
    OPENAI_MODEL = auto()
    EMBEDDING = auto()


OF_OPENAI = frozenset(
    {Endpoint.CHAT, Endpoint.COMPLETION, Endpoint.OPENAI_MODELS, Endpoint.OPENAI_MODEL, Endpoint.EMBEDDING}
)
"""The endpoints of OpenAI's interface, whose errors have its form."""
OF_TEXT = frozenset({Endpoint.CHAT, Endpoint.COMPLETION, Endpoint.GENERATE, Endpoint.GENERATE_STREAM})
"""The endpoints that generate text."""
COUNTED = OF_TEXT | {Endpoint.INFER, Endpoint.EMBEDDING}
"""The endpoints whose requests count as those of inference."""
OPEN = frozenset({Endpoint.LIVE, Endpoint.READY, Endpoint.METRICS, Endpoint.REPLAY})
"""The endpoints that need no key of a client: probes, Prometheus, and the one that has a token of its own."""
POST_ONLY = OF_TEXT | {
    Endpoint.EMBEDDING,
    Endpoint.INFER,
    Endpoint.FEEDBACK,
    Endpoint.INDEX,
    Endpoint.LOAD,
    Endpoint.UNLOAD,
}


@dataclass(frozen=True)
class Route:
    """An endpoint, and the model and version in its path; empty and None if the path names none."""

    endpoint: Endpoint
    model: str = ""
    version: str | None = None

    @property
    def allowed(self) -> tuple[str, ...]:
        """Returns the methods that the endpoint accepts."""
        return ("POST",) if self.endpoint in POST_ONLY else ("GET", "HEAD")


_SLASHES = re.compile("(?<!/models)//+")
"""The superfluous slashes, as a base URL that ends with one causes them; those around an empty model name are kept."""
_SERVER_PATHS = {
    "/openapi.json": Endpoint.OPENAPI,
    "/metrics": Endpoint.METRICS,
    "/v2": Endpoint.SERVER,
    "/v2/health/live": Endpoint.LIVE,
    "/v2/health/ready": Endpoint.READY,
    "/v2/models": Endpoint.MODELS,
    "/v2/models/": Endpoint.MODELS,
    "/v2/models/stats": Endpoint.ALL_STATISTICS,
    "/v2/repository/index": Endpoint.INDEX,
    "/v1/chat/completions": Endpoint.CHAT,
    "/v1/completions": Endpoint.COMPLETION,
    "/v1/models": Endpoint.OPENAI_MODELS,
    "/v1/models/": Endpoint.OPENAI_MODELS,
    "/v1/embeddings": Endpoint.EMBEDDING,
}
_PREFIX = "/openai"
"""The prefix with which KServe serves OpenAI's interface."""
_MODEL_PATHS = {
    (): Endpoint.MODEL,
    ("ready",): Endpoint.MODEL_READY,
    ("infer",): Endpoint.INFER,
    ("feedback",): Endpoint.FEEDBACK,
    ("config",): Endpoint.CONFIG,
    ("stats",): Endpoint.STATISTICS,
    ("example",): Endpoint.EXAMPLE,
    ("replay",): Endpoint.REPLAY,
    ("generate",): Endpoint.GENERATE,
    ("generate_stream",): Endpoint.GENERATE_STREAM,
}


def find(path: str) -> Route | None:
    """Returns the route of a decoded path, also with superfluous slashes; None if there is none."""
    return _find(path) or _find("/" + _SLASHES.sub("/", path).strip("/"))


def _find(path: str) -> Route | None:
    if path.startswith(f"{_PREFIX}/v1/"):
        path = path.removeprefix(_PREFIX)
    if (endpoint := _SERVER_PATHS.get(path)) is not None:
        return Route(endpoint)
    match path.split("/")[1:]:
        case ["v2", "models", model, "versions", version, *rest]:
            return _model_route(model, version, rest)
        case ["v2", "models", model, *rest]:
            return _model_route(model, None, rest)
        case ["v2", "repository", "models", model, "load"]:
            return Route(Endpoint.LOAD, model)
        case ["v2", "repository", "models", model, "unload"]:
            return Route(Endpoint.UNLOAD, model)
        case ["v1", "models", model] if ":" not in model:  # with a colon, it is the interface of other servers
            return Route(Endpoint.OPENAI_MODEL, model)
        case _:
            return None


def infer_paths(model: str, version: str) -> tuple[str, ...]:
    """Returns the decoded paths of Endpoint.INFER for one model, without its version and with it."""
    root = f"/v2/models/{model}"
    return f"{root}/infer", f"{root}/versions/{version}/infer"


def _model_route(model: str, version: str | None, rest: list[str]) -> Route | None:
    endpoint = _MODEL_PATHS.get(tuple(rest))
    return None if endpoint is None else Route(endpoint, model, version)
