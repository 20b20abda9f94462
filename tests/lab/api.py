"""A few questions to the lab's API server, without a client library and faster than kubectl starts."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from .layout import API_PORT, PKI, REGISTRY_PORT


def get(path: str) -> Any:
    """The JSON at ``path``, as admin. OSError when the server does not answer, or answers anything but 200."""
    return json.loads(_get(path))


def ready() -> bool:
    try:
        return _get("/readyz") == b"ok"
    except OSError:
        return False


def registry_ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", REGISTRY_PORT, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def nodes_ready() -> dict[str, bool]:
    """Node name -> whether its condition Ready is True; empty when the API server does not answer."""
    try:
        nodes = get("/api/v1/nodes")["items"]
    except OSError:
        return {}
    return {node["metadata"]["name"]: _condition(node, "Ready") for node in nodes}


def coredns_ready() -> bool:
    try:
        return _condition(get("/apis/apps/v1/namespaces/kube-system/deployments/coredns"), "Available")
    except OSError:
        return False


def _condition(thing: Any, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in thing["status"].get("conditions", []))


def _get(path: str) -> bytes:
    context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    context.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
    connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, context=context, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ConnectionError(f"GET {path}: {answer.status} {body[:200].decode(errors='replace')}")
    return body
