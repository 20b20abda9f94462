"""The repository extension: which models there are, load one, unload one."""

from collections.abc import Iterable
from typing import Any

import msgspec

from edge_runtime.backend import LoadFailure
from inference_server.errors import InvalidRequest
from inference_server.models.repository import ModelRepository


class Index(msgspec.Struct):
    ready: bool = False
    """Only models that are."""


class Load(msgspec.Struct):
    parameters: dict[str, Any] = {}


class ModelRepositoryApi:
    def __init__(self, repository: ModelRepository, *, explicit: bool) -> None:
        """``explicit``: clients may load and unload models."""
        self._repository, self._explicit = repository, explicit

    def index(self, *, only_ready: bool) -> list[dict[str, str]]:
        """Name, version, state and reason of each model."""
        return [
            {
                "name": entry.identity.model,
                "version": entry.identity.revision,
                "state": entry.state,
                "reason": "" if entry.served is not None else entry.reason,
            }
            for entry in self._repository.entries.values()
            if entry.served is not None or not only_ready
        ]

    def load(self, name: str) -> None:
        """Takes long, as ``unload``. Raises ModelNotFound, InvalidRequest."""
        self._may(name)
        outcome = self._repository.load(name)
        if isinstance(outcome, LoadFailure):
            raise InvalidRequest(f"model {name!r} was not loaded: {outcome.reason}: {outcome.message}")

    def unload(self, name: str) -> None:
        """Raises ModelNotFound, InvalidRequest."""
        self._may(name)
        self._repository.unload(name)

    def _may(self, name: str) -> None:
        if not self._explicit:
            raise InvalidRequest(
                "models are not loaded or unloaded by request here: start the server with --model-control explicit"
            )
        self._repository.entry(name, None)


_index = msgspec.json.Decoder(Index).decode
_load = msgspec.json.Decoder(Load).decode


def decode_index(body: bytes) -> Index:
    """Raises InvalidRequest."""
    try:
        return _index(body) if body.strip() else Index()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f'an index request is {{"ready": true}} or empty: {error}') from error


def decode_load(body: bytes) -> None:
    """Raises InvalidRequest: a model is loaded from where the server has it, so nothing can be asked for."""
    try:
        request = _load(body) if body.strip() else Load()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"a load or unload request is {{}} or empty: {error}") from error
    check_parameters(request.parameters)


def check_parameters(parameters: Iterable[str]) -> None:
    """Of a load or unload request. Raises InvalidRequest."""
    if unknown := set(parameters) - {"unload_dependents"}:  # what every client sends
        raise InvalidRequest(f"parameters {', '.join(sorted(unknown))} are not supported")
