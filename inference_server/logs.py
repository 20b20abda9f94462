"""The server's log: one line of JSON for each event, and none for each request."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgemodel.error_words import in_words


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "message": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure() -> None:
    """Sends the log of the process to stderr, as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # at lower levels it logs each malformed request


def event(message: str, **fields: Any) -> None:
    """Logs ``message`` at the level info, with ``fields`` as members of the line."""
    logging.getLogger("inference_server").info(message, extra={"fields": fields})


def failure(message: str, **fields: Any) -> None:
    """Logs ``message`` at the level error, with ``fields`` as members of the line."""
    logging.getLogger("inference_server").error(message, extra={"fields": fields})


def write_termination(path: Path, message: bytes) -> None:
    """Writes the termination message of the container, if it has a file for one; a failure is only logged."""
    if path.exists():
        try:
            path.write_bytes(message)
        except OSError as error:
            failure("cannot write the termination log", path=path, error=in_words(error))
