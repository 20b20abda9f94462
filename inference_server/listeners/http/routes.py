"""The paths of the server. Pure."""

from dataclasses import dataclass

POST_ONLY = frozenset({"infer", "feedback", "index", "load", "unload"})


@dataclass(frozen=True)
class Route:
    endpoint: str
    """One of openapi, server, live, ready, metrics, index, load, unload, all-stats, model, model-ready, config, stats,
    example, infer, feedback, replay."""
    model: str = ""
    version: str | None = None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods that it takes."""
        return ("POST",) if self.endpoint in POST_ONLY else ("GET", "HEAD")


def find(path: str) -> Route | None:
    """The route of a decoded path, None when there is none."""
    match path.split("/")[1:]:
        case ["openapi.json"]:
            return Route("openapi")
        case ["metrics"]:
            return Route("metrics")
        case ["v2"]:
            return Route("server")
        case ["v2", "health", ("live" | "ready") as endpoint]:
            return Route(endpoint)
        case ["v2", "models", "stats"]:
            return Route("all-stats")
        case ["v2", "models", model, *rest]:
            return _model_route(model, rest)
        case ["v2", "repository", "index"]:
            return Route("index")
        case ["v2", "repository", "models", model, ("load" | "unload") as endpoint]:
            return Route(endpoint, model)
    return None


def _model_route(model: str, rest: list[str]) -> Route | None:
    version = None
    if len(rest) >= 2 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
    match rest:
        case []:
            return Route("model", model, version)
        case ["ready"]:
            return Route("model-ready", model, version)
        case [("infer" | "feedback" | "config" | "stats" | "example" | "replay") as endpoint]:
            return Route(endpoint, model, version)
    return None
