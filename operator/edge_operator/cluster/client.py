"""All requests to the API server except watches: raw dictionaries over ``kubernetes.aio``, which keeps memory small."""

import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from edge_operator.kinds import plural
from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json
from edgemodel.names import FIELD_MANAGER

Object = dict[str, Any]

PAGE = 500
TIMEOUT_SECONDS = 30


class ApiError(Exception):
    """The API server refused, or could not be reached (``status`` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"API server answered {status}: {message}" if status else f"API server: {message}")
        self.status = status
        self.namespace_ends = status == 403 and "because it is being terminated" in message


class Cluster:
    """A client of the API server, for ``async with await Cluster.connect() as cluster``."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self.requests: dict[tuple[str, str], int] = {}
        """The number of requests by (verb, kind); a list counts once per page, a subresource as
        ``Kind/subresource``."""

    @classmethod
    async def connect(cls) -> "Cluster":
        """Connects by the service account in a pod, and by KUBECONFIG elsewhere."""
        settings = client.Configuration()
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=settings)
        else:
            await config.load_kube_config(client_configuration=settings)
        settings.connection_pool_maxsize = 64
        return cls(client.ApiClient(settings))

    async def __aenter__(self) -> "Cluster":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()

    async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Returns the object; None if it does not exist. Raises ApiError for any other refusal."""
        self._count("get", kind)
        try:
            return await self._request("GET", _path(api_version, kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def pages(self, api_version: str, kind: str, selector: str = "") -> AsyncIterator[Object]:
        """Yields all objects of a kind in all namespaces, in lists of at most PAGE, all of one resourceVersion."""
        query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            self._count("list", kind)
            page = await self._request("GET", _path(api_version, kind), query=query)
            yield page
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def events(self, namespace: str, uid: str) -> list[Object]:
        """Returns the Events about the object with ``uid``, at most PAGE."""
        self._count("list", "Event")
        query = {"fieldSelector": f"involvedObject.uid={uid}", "limit": str(PAGE)}
        answer = await self._request("GET", _path("v1", "Event", namespace), query=query)
        items: list[Object] = answer["items"]
        return items

    async def apply(self, body: Object) -> Object:
        """Creates or updates by server-side apply, and takes over fields that others have changed."""
        meta = body["metadata"]
        path = _path(body["apiVersion"], body["kind"], meta.get("namespace", ""), meta["name"])
        self._count("apply", body["kind"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request("PATCH", path, body, "application/apply-patch+yaml", query)

    async def create(self, body: Object) -> Object:
        """Creates the object and returns it as stored. Raises ApiError, with status 409 if one of its name exists."""
        self._count("create", body["kind"])
        return await self._request(
            "POST", _path(body["apiVersion"], body["kind"], body["metadata"].get("namespace", "")), body
        )

    async def merge(
        self, api_version: str, kind: str, namespace: str, name: str, body: Object, part: str = ""
    ) -> Object:
        """Sends a JSON merge patch, in which None removes a field. ``part`` may be ``status``."""
        self._count("patch", kind + (f"/{part}" if part else ""))
        path = _path(api_version, kind, namespace, name) + (f"/{part}" if part else "")
        return await self._request("PATCH", path, body, "application/merge-patch+json", {"fieldManager": FIELD_MANAGER})

    async def replace(self, body: Object) -> Object:
        """Replaces the object whose resourceVersion ``body`` has. Raises ApiError 409 after another write."""
        meta = body["metadata"]
        self._count("update", body["kind"])
        return await self._request(
            "PUT", _path(body["apiVersion"], body["kind"], meta["namespace"], meta["name"]), body
        )

    async def delete(self, api_version: str, kind: str, namespace: str, name: str) -> None:
        """Deletes the object, and in the background what it owns. Does nothing if it is gone."""
        self._count("delete", kind)
        try:
            await self._request(
                "DELETE", _path(api_version, kind, namespace, name), {"propagationPolicy": "Background"}
            )
        except ApiError as error:
            if error.status != 404:
                raise

    def _count(self, verb: str, kind: str) -> None:
        self.requests[verb, kind] = self.requests.get((verb, kind), 0) + 1

    async def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Object:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._api.configuration.host + path
        if query:
            url += "?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        try:
            response = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            )
            data = await response.read()
        except ApiException as error:
            raise ApiError(error.status or 0, _message(error.body or str(error.reason))) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, in_words(error)) from error
        if response.status >= 300:
            raise ApiError(response.status, _message(data.decode(errors="replace")))
        try:
            value: Object = parse_json(data)
        except ValueError as error:
            raise ApiError(0, f"its answer cannot be read: {in_words(error)}") from error
        return value


def _path(api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{place}/{plural(kind)}" + (f"/{name}" if name else "")


def _message(body: str) -> str:
    try:
        return str(parse_json(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:500]
