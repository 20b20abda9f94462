"""Access to the embedded registry from outside the cluster, through kubectl's port-forward.

The registry is not exposed outside the cluster, and there is no password: a client authenticates as the namespace's own
service account. kubectl asks the API server for a token that is valid for ten minutes and for this registry; whoever
may do that in a namespace may push under its name.
"""

import base64
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from edge_oci.client import Registries, Repository
from edge_oci.references import Reference, parse_reference
from edgemodel import reasons
from edgemodel.errors import Stalled
from edgemodel.json_text import parse_json
from edgemodel.names import REGISTRY_AUDIENCE

REGISTRY_PORT = 5000
TOKEN_PORT = 8082
KUBECTL_SECONDS = 30


@dataclass(frozen=True)
class EmbeddedRegistry:
    """An embedded registry, by the Helm release that installed it."""

    release: str = "edgemodel"
    release_namespace: str = "edgemodel-system"

    def reference(self, namespace: str, name: str) -> Reference:
        """Returns the registry's name inside the cluster for the model. Raises edge_oci's InvalidReference."""
        host = f"{self.release}-registry-push.{self.release_namespace}.svc:{REGISTRY_PORT}"
        return parse_reference(f"{host}/{namespace}/{name}")

    @contextmanager
    def repository(self, namespace: str, name: str) -> Iterator[Repository]:
        """Yields the repository ``<namespace>/<name>``, reachable while the context lasts. Raises Stalled if kubectl
        fails."""
        token = _kubectl("create", "token", "default", "--namespace", namespace, "--audience", REGISTRY_AUDIENCE)
        with ExitStack() as stack:
            registry = stack.enter_context(self._forwarded("registry-push", REGISTRY_PORT))
            realm = stack.enter_context(self._forwarded("operator", TOKEN_PORT))
            registries = Registries(
                plain_http_hosts=(registry,), sign=lambda scope: _bearer_token(realm, scope, token.strip())
            )
            yield registries.repository(parse_reference(f"{registry}/{namespace}/{name}"))

    @contextmanager
    def _forwarded(self, service: str, port: int) -> Iterator[str]:
        """Yields ``127.0.0.1:<port>``, forwarded to a service of the chart."""
        target = f"service/{self.release}-{service}"
        command = ["kubectl", "port-forward", "--namespace", self.release_namespace, target, f":{port}"]
        with subprocess.Popen(
            [*command, "--address", "127.0.0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                line = process.stdout.readline()
                if not line.startswith("Forwarding from "):
                    raise _failed(" ".join(command), process.stderr.read())
                yield line.split()[2]
            finally:
                process.terminate()


def _kubectl(*arguments: str) -> str:
    try:
        done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=KUBECTL_SECONDS)
    except FileNotFoundError as error:
        raise Stalled(
            reasons.REGISTRY_UNREACHABLE, "kubectl is not on PATH: it leads to the cluster's registry"
        ) from error
    if done.returncode != 0:
        raise _failed(f"kubectl {' '.join(arguments)}", done.stderr)
    return done.stdout


def _bearer_token(realm: str, scope: str, service_account_token: str) -> str:
    """Returns a token for a scope from the operator. Raises OSError with the operator's message if it refuses."""
    query = urlencode([("service", REGISTRY_AUDIENCE), *(("scope", part) for part in scope.split())])
    login = base64.b64encode(f"token:{service_account_token}".encode()).decode()
    request = urllib.request.Request(f"http://{realm}/token?{query}", headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request, timeout=KUBECTL_SECONDS) as answer:  # noqa: S310 - as above
        return str(parse_json(answer.read())["token"])


def _failed(command: str, stderr: str) -> Stalled:
    return Stalled(reasons.REGISTRY_UNREACHABLE, f"{command} failed: {stderr.strip()[-500:]}")
