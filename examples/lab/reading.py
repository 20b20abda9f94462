"""Reads objects through one ``kubectl proxy`` for a complete test run, since a process for each read costs more than
the read.

The proxy authenticates by the kubeconfig, whatever that contains.
"""

import atexit
import json
import os
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

_WHERE = {
    "edgemodel": "apis/edgemodel.io/v1alpha1",
    "edgemodelrevision": "apis/edgemodel.io/v1alpha1",
    "deployment": "apis/apps/v1",
    "daemonset": "apis/apps/v1",
    "job": "apis/batch/v1",
    "event": "api/v1",
    "node": "api/v1",
    "pod": "api/v1",
    "service": "api/v1",
}
_SELECTORS = {"-l": "labelSelector", "--field-selector": "fieldSelector"}
_SECONDS = 30


class Unreadable(Exception):
    """The API server, or the proxy, refused; the message says why."""


def path_of(arguments: Sequence[str]) -> str | None:
    """Returns the path for the words of ``kubectl get``; None for several kinds, unlisted kinds and other flags."""
    kind, rest = arguments[0].removesuffix("s"), list(arguments[1:])
    name = rest.pop(0) if rest and not rest[0].startswith("-") else ""
    flags = dict(zip(rest[::2], rest[1::2], strict=False))
    if kind not in _WHERE or len(rest) % 2 or not flags.keys() <= {"-n", *_SELECTORS}:
        return None
    namespace = f"/namespaces/{flags['-n']}" if "-n" in flags else ""
    query = urlencode({word: flags[flag] for flag, word in _SELECTORS.items() if flag in flags})
    path = f"{_WHERE[kind]}{namespace}/{kind}s"
    return quote(f"{path}/{name}" if name else path) + (f"?{query}" if query else "")


def read(port: int, path: str) -> Any:
    """Returns one object, or a list whose items name their kind. Raises Unreadable."""
    found = json.loads(read_text(port, path))
    for item in found.get("items") or ():
        item.setdefault("kind", found["kind"].removesuffix("List"))
        item.setdefault("apiVersion", found["apiVersion"])
    return found


def read_text(port: int, path: str) -> str:
    """Returns what ``kubectl get --raw`` would print. Raises Unreadable."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=_SECONDS) as answer:
            text: str = answer.read().decode(errors="replace")
            return text
    except HTTPError as error:
        raise Unreadable(f"{error.code}: {_message(error.read())}") from error
    except (URLError, OSError) as error:
        raise Unreadable(str(error)) from error


@cache
def proxy_port(kubeconfig: str, tools: str) -> int:
    """Returns the port of a proxy that lives as long as this process. Raises Unreadable when it does not start."""
    path = f"{tools}:{os.environ['PATH']}" if tools else os.environ["PATH"]
    process = subprocess.Popen(
        ["kubectl", "proxy", "--port=0"],
        env={**os.environ, "KUBECONFIG": kubeconfig, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    atexit.register(process.terminate)
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.search(r"127\.0\.0\.1:(\d+)", said)
    if found is None:
        raise Unreadable(f"kubectl proxy: {said.strip()}")
    return int(found[1])


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:300].decode(errors="replace")
