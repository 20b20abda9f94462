"""The interface of a listener."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inference_server.service import InferenceService
from inference_server.settings import ServerSettings


class Listener(Protocol):
    """A listener, which has its port from the beginning, and answers requests from ``start`` to ``stop``."""

    port: int

    async def start(self, service: InferenceService) -> None:
        """Begins to answer; the running event loop is the service's."""

    async def stop(self, grace_seconds: float) -> None:
        """Accepts no new clients, and returns when the present ones are answered, or after about ``grace_seconds``."""

    def log_fields(self) -> Mapping[str, Any]:
        """Returns the listener's fields of the log line ``listening``."""


@dataclass(frozen=True)
class ListenerType:
    """A kind of listener, with its flags and the function that opens it."""

    name: str
    """The name that users know, such as gRPC."""
    add_flags: Callable[[ArgumentParser], None]
    """A function that adds the listener's own command-line flags; their values are
    ``ServerSettings.listener_flags``."""
    listen: Callable[[ServerSettings], Listener | None]
    """A function that opens the port. It returns None if the settings ask for no such listener, and raises
    PortUnavailable or MissingExtra."""


class PortUnavailable(Exception):
    """The listener cannot open its port; the message names the port and the flag for another one."""


class MissingExtra(Exception):
    """The listener needs packages that are not installed."""
