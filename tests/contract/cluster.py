"""A few calls to the API server for the tests."""

import json
import os
from pathlib import Path
from typing import Any

from kubernetes import client, config

from examples.lab.layout import KUBECONFIG

APPLY = "application/apply-patch+yaml"

Object = dict[str, Any]


def kubeconfig() -> Path | None:
    """Returns the file in KUBECONFIG, otherwise that of the lab; None if there is neither."""
    named = os.environ.get("KUBECONFIG")
    path = Path(named) if named else KUBECONFIG
    return path if path.exists() else None


class Refused(Exception):
    """The API server refused the request; it holds the Status."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message", ""))
        self.status = status

    @property
    def causes(self) -> list[str]:
        """Returns one line for each error, as kubectl shows them; the message itself if there are none.

        The line that rules were skipped because a field is missing or of another type is left out: it accompanies each
        such error and adds nothing.
        """
        causes = self.status.get("details", {}).get("causes", [])
        lines = [f"{cause.get('field', '')}: {cause['message']}" for cause in causes]
        said = [line for line in lines if "some validation rules were not checked" not in line]
        return said or [self.status["message"]]


class Cluster:
    def __init__(self, file: Path) -> None:
        self._api = client.ApiClient(config.new_client_from_config(str(file)).configuration)

    def call(self, method: str, path: str, body: Object | None = None, content: str = "", **query: str) -> Object:
        """Returns the JSON answer. Raises Refused."""
        headers = {"Content-Type": content or "application/json", "Accept": query.pop("accept", "application/json")}
        request = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = self._api.call_api(*request, _request_timeout=30)
        value = json.loads(answer.read())
        if answer.status >= 400:
            raise Refused(value)
        return dict(value)

    def get(self, item: Object, accept: str = "application/json") -> Object:
        return self.call("GET", self.path(item), accept=accept)

    def create(self, item: Object, **query: str) -> Object:
        """Creates the object strictly, so that an unknown field is an error."""
        return self.call("POST", self.collection(item), item, fieldValidation="Strict", **query)

    def apply(self, item: Object, manager: str, **query: str) -> Object:
        strictly = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        return self.call("PATCH", self.path(item), item, APPLY, **{**strictly, **query})

    def delete(self, item: Object) -> None:
        self.call("DELETE", self.path(item))

    def path(self, item: Object) -> str:
        return f"{self.collection(item)}/{item['metadata']['name']}"

    def collection(self, item: Object) -> str:
        group = item["apiVersion"]
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        namespace = item["metadata"].get("namespace")
        kind = item["kind"].lower()
        plural = kind[:-1] + "ies" if kind.endswith("y") else kind + "s"
        return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"
