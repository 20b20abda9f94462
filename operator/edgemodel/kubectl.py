"""Runs kubectl for a user, and says in one sentence why it failed and what to change.

kubectl tells a failure on the way to the cluster in the words of its libraries, some of them several times and between
the lines of its log. A user of ours may have written no kubeconfig, and learns here which part of it is at fault.
"""

import re
import subprocess
import tempfile
from typing import Final

from edgemodel.error_words import NOTHING_SAID, in_words, printed

SECONDS = 30
"""The time within which kubectl has to answer; it tries a way that leads nowhere for minutes."""


class KubectlFailure(Exception):
    """kubectl is missing, does not answer, or was refused; the message says what to change."""

    def __init__(self, message: str, *, heals: bool = False) -> None:
        super().__init__(message)
        self.heals = heals
        """True if a later try may succeed."""


def run(*arguments: str) -> str:
    """Runs kubectl and returns its standard output. Raises KubectlFailure."""
    # Both outputs are files: a pipe that a child of kubectl keeps open could not be read to its end.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                ["kubectl", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                timeout=SECONDS,
                check=False,
            )
        except OSError as error:
            raise not_run(error) from error
        except subprocess.TimeoutExpired as error:
            raise no_answer() from error
        output.seek(0)
        errors.seek(0)
        if done.returncode != 0:
            raise explained(errors.read().decode(errors="replace"), f"kubectl {arguments[0]}")
        return output.read().decode(errors="replace")


def not_run(error: OSError) -> KubectlFailure:
    """Returns the failure for a kubectl that the system cannot run."""
    if isinstance(error, FileNotFoundError):
        return KubectlFailure("kubectl is not on PATH: install it, or add its folder to PATH")
    return KubectlFailure(f"kubectl cannot be run: {in_words(error)}: install it anew")


def no_answer() -> KubectlFailure:
    """Returns the failure for a kubectl that has not ended within SECONDS."""
    return KubectlFailure(f"kubectl got no answer within {SECONDS:g} s{_ADVICE_ON_THE_WAY}", heals=True)


def explained(said: str, command: str) -> KubectlFailure:
    """Returns the failure for what kubectl wrote to standard error; ``command`` is what was run."""
    said = printed(_LOG_LINE.sub("", said) or said, _MAX_LENGTH)
    for pattern, message, heals in _FAILURES:
        if found := pattern.search(said):
            parts = {name: value or "" for name, value in found.groupdict().items()}
            return KubectlFailure(message.format(**parts).strip(), heals=heals)
    return KubectlFailure(f"{command} failed: {said or NOTHING_SAID}", heals=bool(_HEALS.search(said)))


_MAX_LENGTH: Final = 1000
_LOG_LINE: Final = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ (?:.*=<\n(?:.*\n)*? >\n?|.*\n?)", re.MULTILINE)
"""An entry of kubectl's log, which says less than its last line, and the same several times; a long value takes several
lines."""
_HEALS: Final = re.compile(r"\((?:ServiceUnavailable|Timeout|ServerTimeout|TooManyRequests|InternalError)\)")
"""The API server's words for a failure of its own."""

_CHOOSE: Final = "or choose another cluster (KUBECONFIG, kubectl config use-context)"
_NO_KUBECONFIG: Final = (
    "kubectl knows no cluster, because it finds no kubeconfig: set KUBECONFIG to that of your cluster (K3s keeps it on "
    "its server, in /etc/rancher/k3s/k3s.yaml)"
)
_ADVICE_ON_THE_WAY: Final = (
    ": check the address of the API server in the kubeconfig, and the way there (network, VPN, firewall)"
)
_SIGN_IN_AGAIN: Final = "sign in again, or fetch the kubeconfig of the cluster anew"

_FAILURES: Final = tuple(
    (re.compile(pattern), message, heals)
    for pattern, message, heals in (
        # The kubeconfig.
        (r"The connection to the server localhost:8080 was refused|no configuration has been provided",
         _NO_KUBECONFIG, False),
        (r'error loading config file "(?P<file>[^"]+)": .*permission denied',
         "this user may not read the kubeconfig {file}: copy it to a place of your own, and set KUBECONFIG to that",
         False),
        (r'error loading config file "(?P<file>[^"]+)": (?P<why>.+)',
         "the kubeconfig {file} cannot be read: {why}", False),
        (r'context "(?P<context>[^"]+)" does not exist',
         "the kubeconfig has no context {context}: kubectl config get-contexts lists those that it has", False),
        (r"context was not found for specified context: (?P<context>.+)",
         "the kubeconfig has no context {context}: kubectl config get-contexts lists those that it has", False),
        (r"(?:[Ee]rror in|invalid) configuration: (?P<why>.+)", "the kubeconfig cannot be used: {why}", False),
        (r"exec: executable (?P<program>\S+) not found",
         "the kubeconfig signs in with the program {program}, which is not on PATH: install it", False),
        (r"^(?P<why>.*?)(?:Unable to connect to the server: |error: failed [^\"]*\S+ \"[^\"]*\": )?getting "
         r"credentials: exec: executable (?P<program>\S+) failed",
         "the program {program}, with which the kubeconfig signs in, failed: sign in with it first. {why}", False),
        (r"^error: EOF$|Please enter (?:Username|Password)",  # to the question that kubectl then asks
         f"the kubeconfig holds no credentials for the cluster: {_SIGN_IN_AGAIN}", False),
        # The way to the API server.
        (r"proxyconnect tcp: ",
         "the proxy to the API server does not answer: correct HTTPS_PROXY, or put the API server into NO_PROXY", True),
        (r"The connection to the server (?P<host>\S+) was refused",
         f"no API server runs at {{host}}, the address in the kubeconfig: start the cluster, {_CHOOSE}", True),
        (r"dial tcp: lookup (?P<host>\S+?)(?: on \S+?)?: no such host",
         f"the API server in the kubeconfig, {{host}}, has no address: correct the name, {_CHOOSE}", False),
        (r"certificate has expired or is not yet valid: current time \S+ is after (?P<end>\S+)",
         "the certificate of the API server was valid until {end}: renew it (K3s does when it is started again), or "
         "correct this machine's clock", False),
        (r"certificate has expired or is not yet valid: current time \S+ is before (?P<begin>\S+)",
         "the certificate of the API server is valid from {begin} on: correct this machine's clock", False),
        (r"certificate signed by unknown authority|certificate is not trusted|crypto/rsa: verification error",
         "the certificate of the API server is not of the kubeconfig's authority: fetch the kubeconfig anew, "
         f"{_CHOOSE}", False),
        (r"certificate is valid for (?P<names>.+), not (?P<host>\S+)",
         "the certificate of the API server is for {names}, not for {host}: name one of these in the kubeconfig, or "
         "have {host} added to the certificate", False),
        (r"x509: (?P<why>.+)", "the certificate of the API server is not accepted: {why}", False),
        (r"server gave HTTP response to HTTPS client|first record does not look like a TLS handshake",
         f"the address in the kubeconfig is not that of an API server: it has no TLS. Correct it, {_CHOOSE}", False),
        (r"remote error: tls: (?:expired|bad|unknown|revoked) certificate",
         f"the API server does not accept the certificate in the kubeconfig: {_SIGN_IN_AGAIN}", False),
        (r"You must be logged in to the server|the server has asked for the client to provide credentials|Unauthorized",
         f"the API server does not accept the credentials in the kubeconfig, which may have expired: {_SIGN_IN_AGAIN}",
         False),
        (r"i/o timeout|TLS handshake timeout|deadline exceeded|Client\.Timeout|request canceled|no route to host|"
         r"network is unreachable|connection reset|connection refused|lookup \S+ on|connect to the server: EOF",
         f"the API server of the cluster does not answer{_ADVICE_ON_THE_WAY}", True),
        # The answer of the API server.
        (r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<what>[^"]+)"(?: in API group "[^"]*")?'
         r'(?: in the namespace "(?P<namespace>[^"]+)")',
         "{user} may not {verb} {what} in the namespace {namespace}: have an administrator allow it", False),
        (r"the server doesn't have a resource type \"edgemodels?\"",
         f"this cluster does not know EdgeModels: install the chart, {_CHOOSE}", False),
        (r'edgemodels\.edgemodel\.io "(?P<name>[^"]+)" not found',
         "there is no EdgeModel {name} in that namespace: kubectl get edgemodels --all-namespaces lists them", False),
        (r'namespaces "(?P<name>[^"]+)" not found',
         "there is no namespace {name}: kubectl create namespace {name}, or name another", False),
        (r'services "(?P<name>[^"]+)" not found',
         "the cluster has no service {name}: install the chart with its embedded registry, or name its release with "
         "--release and --release-namespace", False),
        (r"pod is not running\. Current status=(?P<phase>\w+)",
         "the pod behind the service does not run yet ({phase}): wait for it, or see why (kubectl get pods)", True),
        (r"unknown command \"token\"",
         "kubectl is older than 1.24 and cannot create tokens: install a newer one", False),
    )
)  # fmt: skip
"""The patterns of what kubectl writes -> the message, in which the named groups of the pattern stand, and whether it
heals. The first that matches counts."""
