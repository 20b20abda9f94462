"""Access to the embedded registry from outside the cluster, through kubectl's port-forward.

The registry is not exposed outside the cluster, and there is no password: a client authenticates as the namespace's own
service account. kubectl asks the API server for a token that is valid for ten minutes and for this registry; whoever
may do that in a namespace may push under its name.
"""

import base64
import os
import re
import selectors
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from typing import IO, Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode

from edge_oci.client import Registries, Repository
from edge_oci.references import Reference, parse_reference
from edgemodel import kubectl, reasons
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled, Transient
from edgemodel.json_text import parse_json
from edgemodel.names import REGISTRY_AUDIENCE

REGISTRY_PORT = 5000
TOKEN_PORT = 8082
_SECONDS_TO_END: Final = 5
_MAX_LINE: Final = 4096
_MAX_ANSWER: Final = 1 << 20

_FORWARDING: Final = re.compile(r"Forwarding from (127\.0\.0\.1:\d{1,5}) ")
_TOKEN: Final = re.compile(r"[!-~]+")
"""A token as an HTTP header can hold it: printable ASCII without spaces."""


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
        """Yields the repository ``<namespace>/<name>``, reachable while the context lasts. Raises KubectlFailure, and
        Stalled or Transient if the operator does not open the registry."""
        token = _service_account_token(namespace)
        with ExitStack() as stack:
            registry = stack.enter_context(self._forwarded("registry-push", REGISTRY_PORT))
            realm = stack.enter_context(self._forwarded("operator", TOKEN_PORT))
            registries = Registries(plain_http_hosts=(registry,), sign=lambda scope: _bearer_token(realm, scope, token))
            yield registries.repository(parse_reference(f"{registry}/{namespace}/{name}"))

    @contextmanager
    def _forwarded(self, service: str, port: int) -> Iterator[str]:
        """Yields ``127.0.0.1:<port>``, forwarded to a service of the chart."""
        target = f"service/{self.release}-{service}"
        command = ["port-forward", "--namespace", self.release_namespace, target, f":{port}"]
        # Errors go to a file: a pipe that a child of kubectl keeps open could not be read to its end.
        with tempfile.TemporaryFile() as errors, _running([*command, "--address", "127.0.0.1"], errors) as process:
            line = _first_line(process)
            found = _FORWARDING.match(line)
            if found is None:
                process.terminate()
                errors.seek(0)
                told = errors.read().decode(errors="replace")
                raise kubectl.explained(told or line, f"kubectl {' '.join(command)}")
            yield found[1]


@contextmanager
def _running(arguments: list[str], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Yields the running kubectl, which ends with the context. Raises KubectlFailure."""
    command = ["kubectl", *arguments]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    except OSError as error:
        raise kubectl.not_run(error) from error
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """Returns the first line of kubectl's output, or all of it if it ends. Raises KubectlFailure if it is not written
    in time."""
    assert process.stdout is not None
    source, line = process.stdout.fileno(), b""
    deadline = time.monotonic() + kubectl.SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while b"\n" not in line and len(line) < _MAX_LINE:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise kubectl.no_answer()
            part = os.read(source, _MAX_LINE)
            if not part:
                break
            line += part
    return line.partition(b"\n")[0].decode(errors="replace")


def _service_account_token(namespace: str) -> str:
    """Returns a token of the namespace's own service account for this registry. Raises KubectlFailure."""
    arguments = ("create", "token", "default", "--namespace", namespace, "--audience", REGISTRY_AUDIENCE)
    token = kubectl.run(*arguments).strip()
    if not _TOKEN.fullmatch(token):
        raise kubectl.KubectlFailure(f"kubectl {' '.join(arguments)} printed no token")
    return token


def _bearer_token(realm: str, scope: str, service_account_token: str) -> str:
    """Returns a token for a scope from the operator. Raises Transient if it does not answer, Stalled if it refuses."""
    query = urlencode([("service", REGISTRY_AUDIENCE), *(("scope", part) for part in scope.split())])
    login = base64.b64encode(f"token:{service_account_token}".encode()).decode()
    request = urllib.request.Request(f"http://{realm}/token?{query}", headers={"Authorization": f"Basic {login}"})
    what = "the operator's token for the registry"
    try:
        with _DIRECTLY.open(request, timeout=kubectl.SECONDS) as answer:
            text = answer.read(_MAX_ANSWER)
            if answer.length:  # unlike a read of everything, this one says nothing of the missing rest
                raise IncompleteRead(text, answer.length)
    except HTTPError as error:
        message = f"{what}: the operator answers {error.code}"
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Transient(reasons.REGISTRY_UNREACHABLE, message) from error
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            message += ": may this user create tokens in that namespace?"
        raise Stalled(reasons.REGISTRY_UNREACHABLE, message) from error
    except (OSError, HTTPException) as error:
        raise Transient(reasons.REGISTRY_UNREACHABLE, f"{what}: {in_words(error)}") from error
    try:
        value = parse_json(text)
    except ValueError as error:
        raise Stalled(reasons.REGISTRY_UNREACHABLE, f"{what}: the answer is not JSON: {in_words(error)}") from error
    token = value.get("token") if isinstance(value, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise Stalled(reasons.REGISTRY_UNREACHABLE, f"{what}: the answer holds no token")
    return token


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, and reads none: the operator never redirects, and a redirect would take the login along."""

    def _refuse(self, *_: Any, **__: Any) -> None:
        """Returns None, so that the answer counts as an error like others."""

    http_error_301 = http_error_302 = http_error_303 = http_error_307 = http_error_308 = _refuse


_DIRECTLY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
"""Opens addresses of this machine, to which no proxy leads."""
