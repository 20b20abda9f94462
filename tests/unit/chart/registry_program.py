"""The real registry program, with the configuration that the chart renders."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from tests.support import manifests
from tests.support.registry import ANY_PORT, run_registry
from tests.unit.chart import rendering

DATA = "/var/lib/registry"


def configuration(folder: Path, name: str, moved: Mapping[str, str]) -> Path:
    """Returns the path of file ``name`` of the chart's ConfigMap, with its data in ``folder``, texts replaced by
    ``moved``, on any port."""
    text = rendering.named(rendering.render(), "ConfigMap", "em-registry")["data"][name]
    for old, new in {DATA: str(folder), **moved}.items():
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, new)
    settings = manifests.read(text)
    settings["http"]["addr"] = ANY_PORT
    settings["log"]["level"] = "info"
    file = folder.parent / name
    file.write_text(yaml.safe_dump(settings))
    return file


@contextlib.contextmanager
def serve(folder: Path, name: str, moved: Mapping[str, str]) -> Iterator[str]:
    """Yields the URL of a registry that runs with ``configuration``."""
    with run_registry(configuration(folder, name, moved)) as registry:
        yield f"http://{registry.host}"
