"""A real registry for tests: Debian's docker-registry, on a free loopback port."""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import lab_programs

ANY_PORT = "127.0.0.1:0"
"""The value of ``http.addr`` in its configuration."""


@dataclass
class RegistryProgram:
    """A running docker-registry at ``host``, ``127.0.0.1:<port>``; ``log`` has the lines that it has logged."""

    host: str
    log: list[str]
    process: "subprocess.Popen[str]"

    def stop(self) -> None:
        """Ends the registry; does nothing if it has ended."""
        self.process.terminate()
        self.process.wait()


def program() -> str:
    """Returns the path of the registry's program."""
    return lab_programs.find("docker-registry", "registry", package="docker-registry")


@contextmanager
def run_registry(configuration: Path) -> Iterator[RegistryProgram]:
    """Runs a registry until the context ends.

    ``configuration`` must have ``http.addr`` ANY_PORT and ``log.level`` info.
    """
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
    """Returns the ``host:port`` that the registry logs once it listens."""
    for line in stderr:
        log.append(line)
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
        if found:
            return found[1]
    raise AssertionError("docker-registry ended before it listened:\n" + "".join(log))
