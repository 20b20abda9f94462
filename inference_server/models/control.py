"""Loading and unloading by request, as the repository extension defines it."""

from typing import Any

from edge_runtime.backend import LoadFailure
from inference_server.errors import InvalidRequest
from inference_server.models.repository import ModelRepository


def index(models: ModelRepository, *, only_ready: bool) -> list[dict[str, str]]:
    """Returns name, version, state and reason of each model."""
    return [
        {
            "name": entry.identity.model,
            "version": entry.identity.revision,
            "state": entry.state,
            "reason": "" if entry.served is not None else entry.reason,
        }
        for entry in models.entries.values()
        if entry.served is not None or not only_ready
    ]


def check_allowed(models: ModelRepository, name: str, *, explicit: bool) -> None:
    """Raises ModelNotFound or InvalidRequest. With ``explicit``, clients may load and unload models."""
    if not explicit:
        raise InvalidRequest(
            "models are not loaded or unloaded by request here: start the server with --model-control explicit"
        )
    models.entry(name, None)


def load(models: ModelRepository, name: str) -> None:
    """Loads a model, which takes long. Raises InvalidRequest."""
    outcome = models.load(name)
    if isinstance(outcome, LoadFailure):
        raise InvalidRequest(f"model {name!r} was not loaded: {outcome.reason}: {outcome.message}")


def unload(models: ModelRepository, name: str) -> None:
    """Unloads a model; its requests in work are still answered."""
    models.unload(name)


def check_parameters(parameters: Any) -> None:
    """Checks the names of the parameters of a load or unload request. Raises InvalidRequest."""
    if unknown := set(parameters) - {"unload_dependents"}:  # a parameter that every client sends
        raise InvalidRequest(f"parameters {', '.join(sorted(unknown))} are not supported")
