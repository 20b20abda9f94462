"""The certificates and kubeconfigs of one lab; a new lab gets new ones."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from .layout import API_PORT, API_SERVICE_ADDRESS, CONTROL_PLANE_ADDRESS, KUBECONFIG, NODES, PKI
from .progress import run

_INSIDE = f"https://{CONTROL_PLANE_ADDRESS}:{API_PORT}"
_OUTSIDE = f"https://127.0.0.1:{API_PORT}"
_API_NAMES = ["localhost", "kubernetes", *(f"kubernetes.default{tail}" for tail in ("", ".svc", ".svc.cluster.local"))]
_API_ADDRESSES = ["127.0.0.1", CONTROL_PLANE_ADDRESS, API_SERVICE_ADDRESS]


def make() -> None:
    """Makes the authority, keys, certificates, and the kubeconfigs of components, nodes and the administrator."""
    PKI.mkdir(parents=True, exist_ok=True)
    PKI.chmod(0o700)
    _authority()
    run(["openssl", "genrsa", "-out", PKI / "sa.key", "2048"])
    run(["openssl", "rsa", "-in", PKI / "sa.key", "-pubout", "-out", PKI / "sa.pub"])
    _certificate("apiserver", "/CN=kube-apiserver", names=_API_NAMES, addresses=_API_ADDRESSES)
    _certificate("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    clients = {
        "admin": "/O=system:masters/CN=admin",
        "controller-manager": "/CN=system:kube-controller-manager",
        "scheduler": "/CN=system:kube-scheduler",
        "proxy": "/CN=system:kube-proxy",
    }
    for name, subject in clients.items():
        _certificate(name, subject)
        _kubeconfig(PKI / f"{name}.kubeconfig", name, server=_INSIDE)
    for node in NODES:
        _certificate(
            node.name, f"/O=system:nodes/CN=system:node:{node.name}", names=[node.name], addresses=[node.address]
        )
        _kubeconfig(node.kubeconfig, node.name, server=_INSIDE)
    _kubeconfig(KUBECONFIG, "admin", server=_OUTSIDE)


def _authority() -> None:
    key, certificate = PKI / "ca.key", PKI / "ca.crt"
    argv = ["openssl", "req", "-x509", "-nodes", "-days", "365", "-subj", "/CN=edgemodel-lab"]
    run([*argv, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key, "-out", certificate])


def _certificate(
    name: str, subject: str, *, names: list[str] | None = None, addresses: list[str] | None = None
) -> None:
    """Makes a certificate for both client and server use, as a kubelet needs."""
    alternatives = [f"DNS:{item}" for item in names or []] + [f"IP:{item}" for item in addresses or []]
    extensions = ["keyUsage=digitalSignature,keyEncipherment", "extendedKeyUsage=clientAuth,serverAuth"]
    if alternatives:
        extensions.append(f"subjectAltName={','.join(alternatives)}")
    (PKI / f"{name}.ext").write_text("\n".join(extensions) + "\n")
    key: list[str | Path] = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        PKI / f"{name}.key",
    ]
    request = run(["openssl", "req", *key, "-subj", subject])
    signer: list[str | Path] = [
        "-CA",
        PKI / "ca.crt",
        "-CAkey",
        PKI / "ca.key",
        "-CAcreateserial",
        "-extfile",
        PKI / f"{name}.ext",
    ]
    run(["openssl", "x509", "-req", "-days", "365", *signer, "-out", PKI / f"{name}.crt"], stdin=request)


def _kubeconfig(path: Path, user: str, *, server: str) -> None:
    """Writes a kubeconfig with all credentials inside, so that it can be copied as one file."""
    files = {"ca": PKI / "ca.crt", "certificate": PKI / f"{user}.crt", "key": PKI / f"{user}.key"}
    data = {name: base64.b64encode(file.read_bytes()).decode() for name, file in files.items()}
    credentials = {"client-certificate-data": data["certificate"], "client-key-data": data["key"]}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": data["ca"]}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
