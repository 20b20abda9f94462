"""The Open Inference Protocol over gRPC.

The modules of this package import the package extra ``grpc``, which takes 40 MB of memory, so they are imported on
demand.
"""

from argparse import ArgumentParser

from edgemodel.error_words import in_words
from inference_server.listeners.listener import Listener, ListenerType, MissingExtra, PortUnavailable
from inference_server.settings import ServerSettings, integer_between


def _add_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--grpc-port", type=integer_between(0, 65535), help="TCP port for gRPC, 0 for any free one; none if not given"
    )


def _listen(settings: ServerSettings) -> Listener | None:
    port = settings.listener_flags["grpc_port"]
    if port is None:
        return None
    try:
        from inference_server.listeners.grpc.server import GrpcListener
    except ImportError as error:
        raise MissingExtra(f"gRPC needs more packages: pip install 'edgemodel[grpc]' ({in_words(error)})") from error
    try:
        return GrpcListener(settings.host, port, max_body_bytes=settings.max_body_bytes)
    except OSError as error:
        message = f"port {port} cannot be taken for gRPC: {in_words(error)}: choose another with --grpc-port"
        raise PortUnavailable(message) from error


GRPC = ListenerType("gRPC", _add_flags, _listen)
