"""A real registry for tests: Debian's docker-registry, on a loopback port of its own choosing."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ANY_PORT = "127.0.0.1:0"
"""For ``http.addr`` of its configuration."""


@dataclass
class RegistryProgram:
    """A running docker-registry; ``host`` is ``127.0.0.1:<port>``, ``log`` what it has said so far, by lines."""

    host: str
    log: list[str]
    process: "subprocess.Popen[str]"

    def stop(self) -> None:
        """Silent when it has ended."""
        self.process.terminate()
        self.process.wait()


def program() -> str:
    found = shutil.which("docker-registry") or shutil.which("registry")
    assert found, "the registry's program is missing: apt-get install --no-install-recommends docker-registry"
    return found


@contextmanager
def run_registry(configuration: Path) -> Iterator[RegistryProgram]:
    """Runs until the context ends. ``configuration`` must have ``http.addr`` ANY_PORT and ``log.level`` info."""
    process = subprocess.Popen(
        [program(), "serve", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    log: list[str] = []
    try:
        host = _address(process.stderr, log)
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        yield RegistryProgram(host, log, process)
    finally:
        process.terminate()
        process.wait()


def _address(stderr: Iterator[str], log: list[str]) -> str:
    """Where it listens: it says so when it does."""
    for line in stderr:
        log.append(line)
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
        if found:
            return found[1]
    raise AssertionError("docker-registry ended before it listened:\n" + "".join(log))
