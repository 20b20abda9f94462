"""A few requests to the lab's API server, without a client library and faster than kubectl starts."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from .layout import API_PORT, PKI, REGISTRY_PORT


def get(path: str) -> Any:
    """Returns the JSON at ``path``, as admin. Raises OSError if the server does not answer, or refuses."""
    return json.loads(_call("GET", path))


def post(path: str, thing: dict[str, Any]) -> Any:
    """Creates ``thing`` and returns it as stored; a conflict is an OSError like any other refusal."""
    return json.loads(_call("POST", path, thing))


def delete(path: str) -> None:
    """Deletes the object at ``path``, as admin. Raises OSError if the server does not answer, or refuses."""
    _call("DELETE", path)


def ready() -> bool:
    """Returns whether the API server says that it is ready; False if it does not answer."""
    try:
        return _call("GET", "/readyz") == b"ok"
    except OSError:
        return False


def registry_ready() -> bool:
    """Returns whether the registry answers on this machine's loopback address."""
    connection = http.client.HTTPConnection("127.0.0.1", REGISTRY_PORT, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def nodes_ready() -> dict[str, bool]:
    """Returns whether each node's condition Ready is True; empty if the API server does not answer."""
    try:
        nodes = get("/api/v1/nodes")["items"]
    except OSError:
        return {}
    return {node["metadata"]["name"]: _condition(node, "Ready") for node in nodes}


def coredns_ready() -> bool:
    """Returns whether the Deployment of CoreDNS is Available; False if the API server does not answer, or refuses."""
    try:
        return _condition(get("/apis/apps/v1/namespaces/kube-system/deployments/coredns"), "Available")
    except OSError:
        return False


def _condition(thing: Any, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in thing["status"].get("conditions", []))


def _call(method: str, path: str, thing: dict[str, Any] | None = None) -> bytes:
    context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    context.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
    connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, context=context, timeout=5)
    try:
        body = None if thing is None else json.dumps(thing)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    if answer.status not in (200, 201):
        raise ConnectionError(f"{method} {path}: {answer.status} {text[:300].decode(errors='replace')}")
    return text
