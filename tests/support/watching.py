"""The command ``kubectl get … --watch`` in the background: each object as often as it is seen."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterable
from typing import Any

from examples.lab.site import Site


class Watch:
    """A watch, for ``with Watch(site, on_item, "nodes")``; ``on_item`` is called from a thread of its own.

    kubectl ends with its API server: then another one starts, and every object is seen once more.
    """

    def __init__(self, site: Site, on_item: Callable[[dict[str, Any]], None], *arguments: str) -> None:
        self._command = ["kubectl", "get", *arguments, "--watch", "-o", "json"]
        self._site, self._on_item = site, on_item
        self._process: subprocess.Popen[str] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.is_set():
            with subprocess.Popen(
                self._command,
                env=self._site.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ) as self._process:
                assert self._process.stdout is not None
                self._read(self._process.stdout)
            self._ended.wait(1)

    def _read(self, lines: Iterable[str]) -> None:
        text = ""
        for line in lines:
            text += line
            if line == "}\n":
                self._on_item(json.loads(text))
                text = ""
