"""The server's log: one line of JSON for each event, and none for each request."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "message": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # at lower levels it logs each malformed request


def event(message: str, **fields: Any) -> None:
    logging.getLogger("inference_server").info(message, extra={"fields": fields})


def failure(message: str, **fields: Any) -> None:
    logging.getLogger("inference_server").error(message, extra={"fields": fields})
