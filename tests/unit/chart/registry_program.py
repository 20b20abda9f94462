"""The real registry program, with the configuration that the chart renders."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from tests.unit.chart import rendering

DATA = "/var/lib/registry"


def program() -> str:
    found = shutil.which("docker-registry") or shutil.which("registry")
    assert found, "the registry's program is missing: apt-get install --no-install-recommends docker-registry"
    return found


def configuration(folder: Path, name: str, moved: Mapping[str, str], port: int) -> Path:
    """File ``name`` of the chart's ConfigMap, its data in ``folder`` and other texts replaced as ``moved`` says."""
    text = rendering.named(rendering.render(), "ConfigMap", "em-registry")["data"][name]
    for old, new in {DATA: str(folder), **moved}.items():
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, new)
    settings = yaml.safe_load(text)
    settings["http"]["addr"] = f"127.0.0.1:{port}"
    file = folder.parent / name
    file.write_text(yaml.safe_dump(settings))
    return file


@contextlib.contextmanager
def serve(folder: Path, name: str, moved: Mapping[str, str]) -> Iterator[str]:
    """The URL of a registry that runs with ``configuration``."""
    port = _free_port()
    file = configuration(folder, name, moved, port)
    log = folder.parent / f"{name}.log"
    with log.open("w") as output:
        process = subprocess.Popen([program(), "serve", file], stdout=output, stderr=output)
    try:
        _wait_for(port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the registry does not listen: {log.read_text()[-2000:]}")
