"""The listeners: each takes requests of one wire protocol and gets the answers from the service.

To add one, write its file, with a ``ListenerType`` in it, and name that here.
"""

from inference_server.listeners.grpc import GRPC
from inference_server.listeners.http import HTTP
from inference_server.listeners.listener import ListenerType

LISTENERS: list[ListenerType] = [HTTP, GRPC]
"""The types of listeners, in the order in which they start."""
