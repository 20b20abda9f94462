"""The Open Inference Protocol over HTTP: an ASGI application on uvicorn, and a fast path beside it."""

from argparse import ArgumentParser

from edgemodel.error_words import in_words
from inference_server.listeners.http.listener import HttpListener
from inference_server.listeners.listener import ListenerType, PortUnavailable
from inference_server.settings import ServerSettings


def _add_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--disable-fast-path",
        action="store_true",
        help="every HTTP request by way of ASGI, for comparison: slower, same answers",
    )


def _listen(settings: ServerSettings) -> HttpListener:
    fast = not settings.listener_flags["disable_fast_path"]
    try:
        return HttpListener(settings.host, settings.port, max_body_bytes=settings.max_body_bytes, fast_path=fast)
    except OSError as error:
        remedy = "choose another with --port, or another address with --host"
        message = f"port {settings.port} cannot be taken: {in_words(error)}: {remedy}"
        raise PortUnavailable(message) from error


HTTP = ListenerType("HTTP", _add_flags, _listen)
