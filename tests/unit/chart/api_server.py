"""An API server in memory that grants every request, and records the right that each needs."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from edge_operator.cluster_cache import WATCHED
from edge_operator.kinds import plural
from tests.unit.chart.rendering import Object

SERVED = {
    *((watched.api_version, plural(watched.kind)) for watched in WATCHED),
    # kopf waits until it has found these.
    ("v1", "namespaces"),
    ("v1", "events"),
    ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
}
KINDS = {plural(watched.kind): watched.kind for watched in WATCHED}
CLUSTER_WIDE = {"nodes", "namespaces", "customresourcedefinitions"}
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
APPLY = "application/apply-patch+yaml"


class ApiServer:
    def __init__(self, objects: dict[str, Object]) -> None:
        """Takes the ``objects`` by path. None is ever deleted, so that creating one twice is a conflict."""
        self.objects = objects
        self.needed: set[tuple[str, str, str]] = set()
        """The needed rights: (namespace, empty for all or none; ``<group>/<resource>``; verb)."""
        self._end = asyncio.Event()

    @contextlib.contextmanager
    def serving(self, port: int) -> Iterator[None]:
        """Serves in a loop of its own, because kopf, when it ends, ends everything in its loop."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._serve(port),))
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(self._end.set)
            thread.join()
            loop.close()

    async def _serve(self, port: int) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await self._end.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        root, version, rest = _split(request.path)
        if not rest:
            return web.json_response(_discovery(root, version))
        namespace, resource, name = _place(rest)
        verb = VERBS.get(request.method) or ("get" if name else "watch" if "watch" in request.query else "list")
        self._note(namespace, version, resource, verb)
        if verb == "watch":
            response = web.StreamResponse()
            await response.prepare(request)
            await self._end.wait()
            return response
        if verb == "list":
            items = [item for path, item in self.objects.items() if _kind_of(path) == (version, resource)]
            return web.json_response({"metadata": {"resourceVersion": "99"}, "items": items})
        if verb in ("get", "delete"):
            found = self.objects.get(request.path)
            return web.json_response(found or {"message": "not there"}, status=200 if found else 404)
        body = await request.json()
        path = request.path.removesuffix("/status")
        if verb == "create":
            path += f"/{body['metadata'].get('name', 'any')}"
            if path in self.objects and "name" in body["metadata"]:
                return web.json_response({"message": "there already"}, status=409)
        elif request.content_type == APPLY and path not in self.objects:
            self._note(namespace, version, resource, "create")
        return web.json_response(self._store(path, body))

    def _store(self, path: str, body: Object) -> Object:
        """Stores the merge of the first two levels, which suffices here."""
        known = {"uid": path, "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "9"}
        before = self.objects.get(path, {})
        meta = {**known, **before.get("metadata", {}), **body.get("metadata", {})}
        data = {key: base64.b64encode(text.encode()).decode() for key, text in body.get("stringData", {}).items()}
        self.objects[path] = {**before, **body, "data": data, "metadata": meta}
        return self.objects[path]

    def _note(self, namespace: str, version: str, resource: str, verb: str) -> None:
        self.needed.add((namespace, f"{version.rpartition('/')[0]}/{resource}", verb))


def _split(path: str) -> tuple[str, str, list[str]]:
    """Returns ("api" or "apis", the version with its group, the rest)."""
    root, *parts = path.strip("/").split("/")
    length = 1 if root == "api" else 2
    return root, "/".join(parts[:length]), parts[length:]


def _place(rest: list[str]) -> tuple[str, str, str]:
    """Returns (namespace, resource with its subresource, name)."""
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, part = (*rest, "", "")[:3]
    return namespace, f"{resource}/{part}" if part else resource, name


def _kind_of(path: str) -> tuple[str, str]:
    _, version, rest = _split(path)
    return version, _place(rest)[1]


def _discovery(root: str, version: str) -> Object:
    if version:
        return {"resources": [_resource(name) for served, name in sorted(SERVED) if served == version]}
    if root == "api":
        return {"versions": ["v1"]}
    versions = [version.split("/") for version in sorted({version for version, _ in SERVED if "/" in version})]
    return {
        "groups": [
            {"name": group, "versions": [{"version": number}], "preferredVersion": {"version": number}}
            for group, number in versions
        ]
    }


def _resource(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "singularName": "",
        "kind": KINDS.get(name, name),
        "namespaced": name not in CLUSTER_WIDE,
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    }
