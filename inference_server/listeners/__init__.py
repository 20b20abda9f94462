"""The ways in: each listener takes requests of one wire protocol and asks the service for the answers.

To add one, write its file, with a ``ListenerType`` in it, and name that here.
"""

from inference_server.listeners.grpc import GRPC
from inference_server.listeners.http import HTTP
from inference_server.listeners.listener import ListenerType

LISTENERS: list[ListenerType] = [HTTP, GRPC]
"""In the order in which they start."""
