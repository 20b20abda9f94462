"""The seam of a listener."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inference_server.service import InferenceService
from inference_server.settings import ServerSettings


class Listener(Protocol):
    """Takes requests on a port, which it has from the beginning, and answers them from ``start`` to ``stop``."""

    port: int

    async def start(self, service: InferenceService) -> None:
        """Begins to answer: the event loop that runs now is the service's."""

    async def stop(self, grace_seconds: float) -> None:
        """Takes no new clients, and returns when those that it has are answered, or after about ``grace_seconds``."""

    def log_fields(self) -> Mapping[str, Any]:
        """Returns what the log line ``listening`` says of it."""


@dataclass(frozen=True)
class ListenerType:
    name: str
    """The name that users know, such as gRPC."""
    add_flags: Callable[[ArgumentParser], None]
    """Adds the command-line flags that only this listener has; their values are ``ServerSettings.listener_flags``."""
    listen: Callable[[ServerSettings], Listener | None]
    """Takes the port. None where the settings ask for no such listener. Raises OSError, MissingExtra."""


class MissingExtra(Exception):
    """A listener needs packages that are not installed."""
