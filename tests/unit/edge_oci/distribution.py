"""A real registry for tests: Debian's docker-registry on a loopback port of its own choosing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

PROGRAM = "docker-registry"


@contextmanager
def running(directory: Path, *, auth: dict[str, Any] | None = None, tls: dict[str, Any] | None = None) -> Iterator[str]:
    """``host:port`` of a registry that keeps its data in ``directory`` and ends with the context."""
    program = shutil.which(PROGRAM)
    assert program is not None, f"{PROGRAM} is missing: install Debian's package {PROGRAM} (2.8)"
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "secret": "for tests", **({"tls": tls} if tls else {})},
        **({"auth": auth} if auth else {}),
    }
    path = directory / "config.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    process = subprocess.Popen(
        [program, "serve", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield _address(process)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[str]) -> str:
    """Where it listens: it says so when it does. What it says later is read and forgotten, lest the pipe fill."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
        if found:
            Thread(target=lambda stream: [None for _ in stream], args=[process.stderr], daemon=True).start()
            return found[1]
    raise AssertionError(f"{PROGRAM} ended before it listened:\n{said}")
