"""Every failure of kubectl is one line for a user, with what to change, for each verb that runs it."""

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_cli import kubectl_plugin, main
from edgemodel import kubectl
from tests.support import tiny_models
from tests.support.speaking import assert_speaks_to_a_user
from tests.unit.edge_cli import api_servers
from tests.unit.edge_cli.api_servers import api_server, kubeconfig, refusal

TLS = "Unable to connect to the server: tls: failed to verify certificate: x509:"
LOG = (
    'E1130 13:04:05.117204    4711 memcache.go:265] "Unhandled Error" err="couldn\'t get current server API group '
    'list: Get \\"https://10.0.0.7:6443/api?timeout=32s\\": dial tcp 10.0.0.7:6443: connect: connection refused"\n'
)
SAID = {
    "no kubeconfig": (
        "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
        r"kubectl knows no cluster, because it finds no kubeconfig: set KUBECONFIG",
        False,
    ),
    "an unreadable kubeconfig": (
        'error: error loading config file "/home/ada/k": open /home/ada/k: permission denied',
        r"may not read the kubeconfig /home/ada/k: copy it",
        False,
    ),
    "a kubeconfig that is no YAML": (
        "error: error loading config file \"/home/ada/k\": yaml: line 3: could not find expected ':'",
        r"the kubeconfig /home/ada/k cannot be read: yaml: line 3",
        False,
    ),
    "an unknown context": (
        'error: context "prod" does not exist',
        r"no context prod: kubectl config get-contexts",
        False,
    ),
    "a missing file of the kubeconfig": (
        "Error in configuration: \n* unable to read client-cert /c.pem for me due to open /c.pem",
        r"the kubeconfig cannot be used: \* unable to read client-cert /c.pem",
        False,
    ),
    "a missing login program": (
        "Unable to connect to the server: getting credentials: exec: executable aws not found\n\nIt looks like you are "
        "trying to use a client-go credential plugin that is not installed.",
        r"signs in with the program aws, which is not on PATH: install it",
        False,
    ),
    "a login program that fails": (
        "Token has expired\nUnable to connect to the server: getting credentials: exec: executable aws failed with "
        "exit code 255",
        r"the program aws, with which the kubeconfig signs in, failed: sign in with it first\. Token has expired$",
        False,
    ),
    "nothing listens": (
        f"{LOG * 5}The connection to the server 10.0.0.7:6443 was refused - did you specify the right host or port?",
        r"no API server runs at 10\.0\.0\.7:6443, the address in the kubeconfig: start the cluster",
        True,
    ),
    "an unknown name": (
        "Unable to connect to the server: dial tcp: lookup k3s.example on 127.0.0.53:53: no such host",
        r"k3s\.example, has no address: correct the name",
        False,
    ),
    "no answer": (
        "Unable to connect to the server: dial tcp 10.0.0.7:6443: i/o timeout",
        r"does not answer: check the address of the API server in the kubeconfig, and the way there",
        True,
    ),
    "no way": (
        "Unable to connect to the server: dial tcp 10.0.0.7:6443: connect: no route to host",
        r"does not answer: check the address of the API server in the kubeconfig, and the way there",
        True,
    ),
    "a proxy that is down": (
        "Unable to connect to the server: proxyconnect tcp: dial tcp 127.0.0.1:3128: connect: connection refused",
        r"the proxy to the API server does not answer: correct HTTPS_PROXY",
        True,
    ),
    "an expired certificate": (
        f"{TLS} certificate has expired or is not yet "
        "valid: current time 2026-11-30T13:04:05Z is after 2026-11-01T00:00:00Z",
        r"was valid until 2026-11-01T00:00:00Z: renew it",
        False,
    ),
    "a clock that is late": (
        f"{TLS} certificate has expired or is not yet "
        "valid: current time 1970-01-01T00:04:05Z is before 2026-11-01T00:00:00Z",
        r"is valid from 2026-11-01T00:00:00Z on: correct this machine's clock",
        False,
    ),
    "another authority": (
        f"{TLS} certificate signed by unknown authority",
        r"not of the kubeconfig's authority: fetch the kubeconfig anew",
        False,
    ),
    "another name": (
        f"{TLS} certificate is valid for 10.43.0.1, 127.0.0.1, not 10.0.0.7",
        r"is for 10\.43\.0\.1, 127\.0\.0\.1, not for 10\.0\.0\.7: name one of these",
        False,
    ),
    "no TLS": (
        "Unable to connect to the server: tls: first record does not look like a TLS handshake",
        r"the address in the kubeconfig is not that of an API server: it has no TLS",
        False,
    ),
    "a login that has expired": (
        "error: You must be logged in to the server (Unauthorized)",
        r"does not accept the credentials in the kubeconfig, which may have expired: sign in again",
        False,
    ),
    "a right that is missing": (
        'Error from server (Forbidden): edgemodels.edgemodel.io "m" is forbidden: User "anna" cannot patch resource '
        '"edgemodels" in API group "edgemodel.io" in the namespace "vision"',
        r"anna may not patch edgemodels in the namespace vision: have an administrator allow it",
        False,
    ),
    "no chart": (
        'error: the server doesn\'t have a resource type "edgemodel"',
        r"this cluster does not know EdgeModels: install the chart",
        False,
    ),
    "no EdgeModel": (
        'Error from server (NotFound): edgemodels.edgemodel.io "m" not found',
        r"no EdgeModel m in that namespace: kubectl get edgemodels --all-namespaces",
        False,
    ),
    "no namespace": (
        'error: failed to create token: namespaces "vision" not found',
        r"no namespace vision: kubectl create namespace vision",
        False,
    ),
    "no embedded registry": (
        'Error from server (NotFound): services "edgemodel-registry-push" not found',
        r"no service edgemodel-registry-push: install the chart with its embedded registry",
        False,
    ),
    "a pod that does not run": (
        "error: unable to forward port because pod is not running. Current status=Pending",
        r"does not run yet \(Pending\): wait for it",
        True,
    ),
    "a server that is not up yet": (
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
        r"kubectl \S+( token)? failed: Error from server \(ServiceUnavailable\)",
        True,
    ),
    "a refusal by the schema": (
        'The EdgeModel "m" is invalid: spec.rollout.retryToken: Too long: may not be more than 63 bytes',
        r"kubectl \S+( token)? failed: The EdgeModel \"m\" is invalid: spec.rollout.retryToken: Too long",
        False,
    ),
}
"""The texts of kubectl, the message for the user, and whether a later try may succeed."""

Says = Callable[[str], None]


@pytest.fixture
def kubectl_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Returns a function that puts a kubectl on PATH, which fails with a text."""

    def say(text: str) -> None:
        (tmp_path / "said").write_text(f"{text}\n")
        (tmp_path / "kubectl").write_text(f"#!/bin/sh\ncat {tmp_path}/said >&2\nexit 1\n")
        (tmp_path / "kubectl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return say


def line_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Returns the one line that the command has said."""
    output, said = capsys.readouterr()
    assert output == ""
    assert said.count("\n") == 1
    assert_speaks_to_a_user(said)
    assert "memcache" not in said
    return said.removeprefix("edgemodel: ").strip()


@pytest.mark.parametrize("verb", [verb.name for verb in kubectl_plugin.VERBS])
def test_a_failure_of_kubectl_is_one_line_with_a_remedy(
    kubectl_says: Says, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    for text, told, _ in SAID.values():
        kubectl_says(text)
        assert kubectl_plugin.main([verb, "m"]) == 1
        assert re.match(rf"(?:.*){told}", line_of(capsys)), text


def test_a_push_to_a_cluster_fails_as_kubectl_does(
    kubectl_says: Says, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = tiny_models.mlp(tmp_path / "m.onnx")
    for text, told, heals in SAID.values():
        kubectl_says(text)
        assert main.main(["push", str(model), "--namespace", "vision"]) == (4 if heals else 3)
        said = line_of(capsys)
        assert re.match(rf"(?:.*){told}", said), text
        assert "RegistryUnreachable" not in said


LONG_LOG = LOG.replace('err="couldn', "err=<\n\tcouldn").replace('refused"', "refused\n\t\n >")


def test_the_log_of_kubectl_is_left_out_where_it_says_more() -> None:
    assert (
        str(kubectl.explained(f"{LOG}{LONG_LOG}error: unforeseen", "kubectl get"))
        == "kubectl get failed: error: unforeseen"
    )
    assert "connection refused" not in str(kubectl.explained(LOG, "kubectl get"))
    assert str(kubectl.explained("", "kubectl get")) == "kubectl get failed: no cause is told"


# --- with the real kubectl ---

STATUS_401 = refusal(401, "Unauthorized", "Unauthorized")
STATUS_403 = refusal(
    403,
    "Forbidden",
    'edgemodels.edgemodel.io "m" is forbidden: User "me" cannot get resource "edgemodels" in API group "edgemodel.io" '
    'in the namespace "vision"',
)
STATUS_404 = refusal(404, "NotFound", 'edgemodels.edgemodel.io "m" not found')


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Returns a function that runs ``kubectl edgemodel status m`` with a kubeconfig, and returns what it says."""

    def run(config: Path, *words: str) -> str:
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setenv("HOME", str(tmp_path))
        assert kubectl_plugin.main(["status", "m", *words]) == 1
        return line_of(capsys)

    return run


@pytest.mark.lab_programs
@pytest.mark.parametrize(
    ("server", "user", "told"),
    [
        ("https://127.0.0.1:1", None, r"no API server runs at 127\.0\.0\.1:1, the address in the kubeconfig"),
        ("https://no-such-host.invalid:6443", None, r"no-such-host\.invalid"),
        (
            "https://127.0.0.1:1",
            {"client-certificate": "/gone.pem", "client-key": "/gone.pem"},
            r"kubeconfig cannot be used",
        ),
        (
            "https://127.0.0.1:1",
            {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": "no-such-login",
                    "interactiveMode": "Never",
                }
            },
            r"signs in with the program no-such-login, which is not on PATH",
        ),
        (
            "https://127.0.0.1:1",
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}},
            r"the program false, with which the kubeconfig signs in, failed: sign in with it first",
        ),
    ],
)
def test_a_kubeconfig_that_leads_nowhere(
    status: Callable[..., str], tmp_path: Path, server: str, user: dict[str, object] | None, told: str
) -> None:
    assert re.search(told, status(kubeconfig(tmp_path, server, user=user)))


@pytest.mark.lab_programs
def test_no_kubeconfig_or_one_that_cannot_be_read(status: Callable[..., str], tmp_path: Path) -> None:
    assert "finds no kubeconfig: set KUBECONFIG" in status(tmp_path / "gone")
    (tmp_path / "broken").write_text("a: [b\n")
    assert f"the kubeconfig {tmp_path}/broken cannot be read: yaml" in status(tmp_path / "broken")
    unknown = status(kubeconfig(tmp_path, "https://127.0.0.1:1"), "--context", "prod")
    assert unknown.startswith("the kubeconfig has no context prod")


@pytest.mark.lab_programs
def test_a_server_that_never_answers(
    status: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubectl, "SECONDS", 1)
    with api_servers.silent_server() as server:
        assert status(kubeconfig(tmp_path, server)).startswith("kubectl got no answer within 1 s: check the address")


@pytest.mark.lab_programs
@pytest.mark.parametrize(
    ("address", "days", "other", "told"),
    [
        ("127.0.0.1", (-9, -1), False, r"the certificate of the API server was valid until 20\S+: renew it"),
        ("127.0.0.1", (1, 9), False, r"is valid from 20\S+ on: correct this machine's clock"),
        ("10.0.0.7", (-1, 1), False, r"is for 10\.0\.0\.7, not for 127\.0\.0\.1"),
        ("127.0.0.1", (-1, 1), True, r"not of the kubeconfig's authority"),
    ],
)
def test_a_certificate_that_is_not_accepted(
    status: Callable[..., str], tmp_path: Path, address: str, days: tuple[int, int], other: bool, told: str
) -> None:
    own = api_servers.certificate(tmp_path / "own.pem", address, days)
    authority = api_servers.certificate(tmp_path / "other.pem") if other else own
    with api_server(STATUS_404, tls=own) as server:
        assert re.search(told, status(kubeconfig(tmp_path, server, authority=authority)))


@pytest.mark.lab_programs
@pytest.mark.parametrize(
    ("answer", "known", "told"),
    [
        (STATUS_401, False, "does not accept the credentials in the kubeconfig"),
        (STATUS_401, True, "does not accept the credentials in the kubeconfig"),
        (STATUS_403, True, "me may not get edgemodels in the namespace vision"),
        (STATUS_404, True, "there is no EdgeModel m in that namespace"),
    ],
)
def test_an_api_server_that_refuses(
    status: Callable[..., str], tmp_path: Path, answer: dict[str, object], known: bool, told: str
) -> None:
    own = api_servers.certificate(tmp_path / "own.pem")
    with api_server(answer, known=known, tls=own) as server:
        assert told in status(kubeconfig(tmp_path, server, authority=own))


@pytest.mark.lab_programs
def test_an_address_that_is_no_api_server(status: Callable[..., str], tmp_path: Path) -> None:
    with api_server(STATUS_404, known=False) as server:
        told = status(kubeconfig(tmp_path, server.replace("http://", "https://")))
        assert "is not that of an API server: it has no TLS" in told
    with ExitStack() as stack:
        own = api_servers.certificate(tmp_path / "own.pem")
        server = stack.enter_context(api_server(STATUS_404, known=False, tls=own))
        assert status(kubeconfig(tmp_path, server, authority=own))
