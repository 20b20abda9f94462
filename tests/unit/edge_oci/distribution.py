"""A real registry, open or with authentication or TLS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.registry import ANY_PORT, run_registry


@contextmanager
def running(directory: Path, *, auth: dict[str, Any] | None = None, tls: dict[str, Any] | None = None) -> Iterator[str]:
    """``host:port`` of a registry that keeps its data in ``directory`` and ends with the context."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": {"addr": ANY_PORT, "secret": "for tests", **({"tls": tls} if tls else {})},
        **({"auth": auth} if auth else {}),
    }
    path = directory / "config.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    with run_registry(path) as registry:
        yield registry.host
